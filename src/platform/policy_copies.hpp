// Every tenant's policies as this process decides by them: compiled once a change, fresh by pushes, certain
// by a lease. A copy is brought up to date while it is used; what nobody asks for costs nothing.
#pragma once
#include <functional>
#include <memory>
#include <unordered_map>

#include "contract/operations/decisions.hpp"
#include "guard/lease.hpp"
#include "platform/environment.hpp"
#include "policy/request.hpp"

namespace intra365::platform {

/// A tenant's set. Immutable, shared by pointer.
struct PolicySet {
  std::uint64_t epoch = 0;
  policy::Snapshot::Pointer in_force;
  policy::Snapshot::Pointer with_shadow;  ///< none when no policy is in shadow
};

/// Compiles the active policies, and beside them the shadow ones where there are any. Fails with
/// `policy.invalid`.
Result<PolicySet> compile_set(std::uint64_t epoch, std::vector<policy::Policy> policies);
/// The answer and, where the shadow policies would give another one, theirs.
struct SetAnswer {
  policy::EvaluateReply reply;
  std::optional<policy::EvaluateReply> shadow;
};
SetAnswer answer_of(const PolicySet& set, const policy::Asked& asked, policy::Scratch& scratch);
/// What is kept of it; without id.
policy::DecisionRecord record_of(const PolicySet& set, const policy::Asked& asked,
                                 const policy::EvaluateRequest& request, const SetAnswer& answer,
                                 Timestamp now);

/// Owned by one shard; not thread-safe. Lives as long as its environment's tasks.
class PolicyCopies {
 public:
  /// Asks the truth: the set behind the epoch that is known already, or none when that is still the newest.
  using Load = std::function<Task<std::optional<PolicySet>>(TenantId tenant, std::uint64_t known_epoch,
                                                            SteadyTime deadline)>;

  PolicyCopies(Environment& environment, Load load);
  /// Listens to pushes of every tenant.
  Result<void> start();

  /// What may be used right now without waiting, or none. The pointer holds until the next suspension.
  const PolicySet* fresh(const TenantId& tenant);
  /// The same, waiting for the truth where that is needed. Fails with what the truth fails with.
  Task<PolicySet> get(TenantId tenant, SteadyTime deadline);
  /// This process has changed the set itself: what it holds is old from now on.
  void changed(const TenantId& tenant);

  /// Called with the tenant whenever a set was replaced.
  std::function<void(const TenantId&)> on_change;

 private:
  struct Copy {
    explicit Copy(const asio::any_io_executor& executor) : loaded(executor, SteadyTime::max()) {}
    PolicySet set;
    guard::SyncedLease lease;
    BootTime asked_at{}, used_at{};
    bool loading = false;
    asio::steady_timer loaded;  ///< cancelled when a load has ended
  };
  using CopyPointer = std::shared_ptr<Copy>;

  CopyPointer copy_of(const TenantId& tenant);
  Task<> load(TenantId tenant, CopyPointer copy, SteadyTime deadline);
  void forget_unused(BootTime now);

  /// More tenants than this, and those unused for longest are forgotten.
  static constexpr std::size_t kMaxCopies = 10'000;

  Environment& environment_;
  Load load_;
  nats::Subscription pushes_;
  std::unordered_map<TenantId, CopyPointer> copies_;
};

}  // namespace intra365::platform
