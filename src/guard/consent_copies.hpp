// Consents of the Mates that are asked about, as a consent service keeps them in memory: which copies there
// are, when each may be used, and when it must be loaded or renewed. No I/O: the service asks PostgreSQL
// (services/consent/copies), the simulation a truth of its own (tests/sim).
#pragma once
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "guard/consent_copy.hpp"

namespace intra365::guard {

/// Owned by one shard; not thread-safe. Time comes in as an argument.
///
/// Names of Mates are free to ask about. So a copy is on trial until records have shown that there is such a
/// Mate; those on trial are few and replace each other, and never one that has records.
class ConsentCopies {
 public:
  struct Copy {
    Copy(MateId mate, std::chrono::milliseconds lease_time)
        : mate(mate), consents(std::move(mate), Holding::everything), lease(lease_time) {}
    MateId mate;
    ConsentCopy consents;
    SyncedLease lease;
    BootTime asked_at{}, used_at{};
    bool loading = false, loaded = false;
    BootTime load_again_at{};  ///< not before, when a load has failed
    std::chrono::milliseconds load_pause{0};
  };
  using Pointer = std::shared_ptr<Copy>;

  struct Limits {
    std::chrono::milliseconds lease_time = kLeaseDuration;
    std::size_t copies = 100'000;      ///< of one tenant, with records
    std::size_t on_trial = 1'000;      ///< of one tenant, without
    std::size_t loads = 64;            ///< under way at once
    std::size_t records = 20'000'000;  ///< a Mate with more is looked up in PostgreSQL
  };
  ConsentCopies() : ConsentCopies(Limits()) {}
  explicit ConsentCopies(Limits limits) : limits_(limits) {}

  struct Fresh {
    const ConsentIndex* index = nullptr;  ///< none: ask the truth
    std::chrono::milliseconds age{0};     ///< since the truth was last asked
    Timestamp time{};                     ///< to decide by
    Pointer to_load;  ///< where there is nothing: what should be loaded beside the caller's work
  };
  /// What may be used now.
  Fresh fresh(const TenantId& tenant, const MateId& mate, Instant now);
  /// A change that this or another process has told.
  void changed(const TenantId& tenant, const consent::Consent& record, Instant now);
  /// Something has changed, and nobody knows what.
  void changed_unknown();
  std::size_t size(const TenantId& tenant) const;

  /// A copy is being brought up to date by the records that changed since `copy->consents.mate_epoch()`, page
  /// by page, each with the Mate's epoch of the same moment. Nothing while that is under way already, while
  /// too much else is, or too soon after it has failed.
  struct Load {
    Pointer copy;
    SyncedLease::Round round;
  };
  std::optional<Load> begin_load(const Pointer& copy, BootTime now);
  enum class Taken {
    all,
    more,
    anew,      ///< the truth went back: what was there is gone, and another load begins with the epoch of now
    too_many,  ///< more than `Limits::records`: this Mate has no copy
  };
  /// Takes a page of records that changed after `asked_since`. All but `more` end the load.
  Taken take_page(const Load& load, std::uint64_t asked_since, const consent::SyncReply& page, Instant now);
  enum class Loaded { all, anew, failed };
  /// Once for each `begin_load`.
  void end_load(const Load& load, Loaded how, BootTime now);

  /// Copies that somebody has used lately, to be renewed together: all epochs of a tenant with one question.
  struct Renewal {
    MateId mate;
    Load load;
    std::uint64_t had = 0;  ///< the Mate's epoch in the copy, when the question was asked
  };
  /// Forgets what nobody has used for long, too.
  std::vector<std::pair<TenantId, std::vector<Renewal>>> to_renew(BootTime now);
  /// The question is being asked now.
  static void ask(Renewal& renewal, BootTime now) {
    renewal.load.round = renewal.load.copy->lease.begin(now);
    renewal.had = renewal.load.copy->consents.mate_epoch();
  }
  /// The Mate's epoch was this, as of the question; it was `truth_time` there. False: the copy must be
  /// loaded.
  static bool renew(const Renewal& renewal, std::uint64_t mate_epoch, Timestamp truth_time, Instant now);

  /// A Mate that nobody has asked about for this long costs nothing more than its memory, and then not that.
  static constexpr std::chrono::seconds kInUse{30}, kKept{600};

 private:
  using Order = std::list<Pointer>;  ///< the latest used first
  struct Place {
    Order::iterator at;
    bool on_trial = true;
  };
  struct Tenant {
    std::unordered_map<MateId, Place> places;
    Order with_records, on_trial;
  };
  const Pointer& use(Tenant& tenant, const MateId& mate, BootTime now);
  /// Makes room in front of a newcomer.
  void make_room(Tenant& tenant);
  static void admit(Tenant& tenant, Place& place);
  static void forget_last(Tenant& tenant, Order& order);
  static void forget_unused(Tenant& tenant, Order& order, BootTime now);
  bool may_load(const Copy& copy, BootTime now) const;
  /// Nothing of this Mate is kept any more, and not asked for soon.
  static void give_up(Copy& copy);

  Limits limits_;
  std::size_t loads_ = 0;
  std::unordered_map<TenantId, Tenant> tenants_;
};

}  // namespace intra365::guard
