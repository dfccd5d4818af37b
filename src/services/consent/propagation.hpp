// How far changes of consents have got. Enforcement points confirm with every sync what they have reached;
// this writes it down beside the answer's way, and says where each of them stands.
#pragma once
#include <unordered_map>

#include "contract/operations/consent_upkeep.hpp"
#include "platform/environment.hpp"
#include "platform/service.hpp"
#include "services/consent/model.hpp"

namespace intra365::services::consent {

/// Owned by one shard; not thread-safe. Lives as long as its environment's tasks. What it writes is a report,
/// never what a decision hangs on: where it cannot keep up, it leaves out.
class Propagation {
 public:
  explicit Propagation(platform::Environment& environment);
  Result<void> start();

  /// An enforcement point decides by this epoch of its Mate, which is one that the Mate has had.
  void reached(const TenantId& tenant, const intra365::consent::SyncRequest& request);
  /// A change was pushed.
  void told(const TenantId& tenant, const intra365::consent::Consent& record);

  Task<intra365::consent::PropagationReply> state(const platform::Caller& caller,
                                                  const intra365::consent::PropagationRequest& request);

 private:
  struct Said {
    TenantId tenant;
    std::string mate, instance;
    std::uint64_t epoch = 0;
  };
  struct Told {
    TenantId tenant;
    ConsentId consent;
    std::uint64_t epoch = 0;
  };
  Task<> keep_writing();
  Task<> write();
  template <class One>
  Task<> write_all(std::vector<One> all);
  Task<> write(std::vector<Said> said);
  Task<> write(std::vector<Told> told);
  Task<> keep_forgetting();

  static constexpr std::size_t kMaxWaiting = 10'000, kMaxKnown = 100'000;

  platform::Environment& environment_;
  struct Known {
    std::uint64_t epoch = 0;
    SteadyTime written_at;
  };
  std::unordered_map<std::string, Known> known_;  ///< what was written last, by `tenant/mate/instance`
  std::vector<Said> said_;
  std::vector<Told> told_;
  asio::steady_timer changed_;  ///< cancelled when there is something to write
};

}  // namespace intra365::services::consent
