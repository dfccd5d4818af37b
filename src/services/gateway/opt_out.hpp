// Signals by which people opt out of having their data sold or shared: Global Privacy Control of their
// browser, or a choice on this device, which needs no account.
//
// A request with a signal never uses data for such a purpose, whatever was consented to. Of a person who is
// signed in it is recorded as well, once (consent.opt_out), so it holds for every Mate and on other devices.
// The device's choice lies on the device alone, as a cookie that is the same for everybody: nothing about it
// is stored here.
#pragma once
#include <span>
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

  /// Records the signal of a person who is signed in, under their own token. Asked again after an hour. Where
  /// that fails the request goes on, since `check` heeds the signal all the same, and a later one records it.
  asio::awaitable<void> heed(const http::Request& request, const guard::Identity& identity,
                             const TraceContext& trace);
  /// For a request that may use data for any of these purposes. With a signal: what the Mate is told
  /// (headers::opt_out), or `consent.opted_out` where one of them is forbidden.
  Task<std::optional<std::string>> check(const http::Request& request, TenantId tenant,
                                         std::span<const Purpose> purposes, const TraceContext& trace,
                                         SteadyTime deadline);

 private:
  Task<> record(const http::Request& request, const guard::Identity& identity,
                intra365::consent::OptOutMethod method, const TraceContext& trace, SteadyTime deadline);

  static constexpr auto kRecordedFor = std::chrono::hours(1);
  /// While recording fails: so long no request waits for another attempt, and each waits no longer than this.
  static constexpr auto kRetryPause = std::chrono::seconds(5), kRecordTime = std::chrono::seconds(1);
  static constexpr std::size_t kMostRecorded = 100'000;

  platform::Environment& environment_;
  platform::ServiceClient& services_;
  std::unordered_map<std::string, SteadyTime> asks_again_;  ///< by tenant and person
};

}  // namespace intra365::services::gateway
