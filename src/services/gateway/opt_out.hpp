// Signals by which people opt out of having their data sold or shared: Global Privacy Control of their
// browser, or a choice on this device, which needs no account.
//
// A request with a signal never uses data for such a purpose, whatever was consented to. Of a person who is
// signed in it is recorded as well, once (consent.opt_out), so it holds for every Mate and on other devices.
// The device's choice lies on the device alone, as a cookie that is the same for everybody: nothing about it
// is stored here.
#pragma once
#include <unordered_map>

#include "contract/operations/opt_outs.hpp"
#include "guard/token.hpp"
#include "http/server.hpp"
#include "platform/service.hpp"

namespace intra365::services::gateway {

/// The signal that a request carries. Without one the person has said nothing, which is no consent.
std::optional<intra365::consent::OptOutMethod> opt_out_signal(const http::Request& request);

/// The device's own choice: the cookie that makes or ends it.
std::string opt_out_cookie(bool opted_out, bool over_tls);

/// Owned by one shard; not thread-safe.
class OptOuts {
 public:
  OptOuts(platform::Environment& environment, platform::ServiceClient& services)
      : environment_(environment), services_(services) {}

  /// Records the signal of a person who is signed in, under their own token. Asked again after an hour.
  Task<> heed(const http::Request& request, const guard::Identity& identity, const TraceContext& trace,
              SteadyTime deadline);
  /// Fails with `consent.opted_out` where a request with a signal would use data for such a purpose.
  Task<> check(const http::Request& request, TenantId tenant, const Purpose& purpose,
               const TraceContext& trace, SteadyTime deadline);

 private:
  static constexpr auto kRecordedFor = std::chrono::hours(1);
  static constexpr std::size_t kMostRecorded = 100'000;

  platform::Environment& environment_;
  platform::ServiceClient& services_;
  std::unordered_map<std::string, SteadyTime> recorded_;  ///< by tenant and person
};

}  // namespace intra365::services::gateway
