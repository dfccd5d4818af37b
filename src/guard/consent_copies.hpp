// Consents of the Mates that are asked about, as a consent service keeps them in memory: which copies there
// are, when each may be used, and when it must be loaded or renewed. No I/O: the service asks PostgreSQL
// (services/consent/copies), the simulation a truth of its own (tests/sim).
#pragma once
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "guard/consent_copy.hpp"

namespace intra365::guard {

/// Owned by one shard; not thread-safe. Time comes in as an argument.
class ConsentCopies {
 public:
  struct Copy {
    Copy(MateId mate, std::chrono::milliseconds lease_time)
        : consents(std::move(mate), Holding::everything), lease(lease_time) {}
    ConsentCopy consents;
    SyncedLease lease;
    SteadyTime asked_at{}, used_at{};
    bool loading = false, loaded = false;
  };
  using Pointer = std::shared_ptr<Copy>;
  explicit ConsentCopies(std::chrono::milliseconds lease_time = kLeaseDuration) : lease_time_(lease_time) {}

  struct Fresh {
    const ConsentIndex* index = nullptr;  ///< none: ask the truth
    std::chrono::milliseconds age{0};     ///< since the truth was last asked
    Pointer to_load;  ///< where there is nothing: what should be loaded beside the caller's work
  };
  /// What may be used now.
  Fresh fresh(const TenantId& tenant, const MateId& mate, SteadyTime now);
  /// A change that this or another process has told.
  void changed(const TenantId& tenant, const consent::Consent& record, Timestamp now);
  /// Something has changed, and nobody knows what.
  void changed_unknown();

  /// A copy is being brought up to date by the records that changed since `copy->consents.mate_epoch()`, page
  /// by page, each with the Mate's epoch of the same moment. Nothing while that is under way already.
  struct Load {
    Pointer copy;
    SyncedLease::Round round;
  };
  static std::optional<Load> begin_load(const Pointer& copy, SteadyTime now);
  /// Takes a page of records that changed after `asked_since`. With `anew` the load has failed, and what was
  /// there is gone: another one begins with the epoch of now.
  static ConsentCopy::Answered take_page(const Load& load, std::uint64_t asked_since,
                                         const consent::SyncReply& page, Timestamp now);
  enum class Loaded { all, failed };
  static void end_load(const Load& load, Loaded how);

  /// Copies that somebody has used lately, to be renewed together: all epochs of a tenant with one question.
  struct Renewal {
    MateId mate;
    Load load;
    std::uint64_t had = 0;  ///< the Mate's epoch in the copy, when the question was asked
  };
  std::vector<std::pair<TenantId, std::vector<Renewal>>> to_renew(SteadyTime now) const;
  /// The question is being asked now.
  static void ask(Renewal& renewal, SteadyTime now) {
    renewal.load.round = renewal.load.copy->lease.begin(now);
    renewal.had = renewal.load.copy->consents.mate_epoch();
  }
  /// The Mate's epoch was this, as of the question. False: the copy must be loaded.
  static bool renew(const Renewal& renewal, std::uint64_t mate_epoch);

  /// Of one tenant; names are free to ask about, so they must not cost memory without end.
  static constexpr std::size_t kMaxCopies = 100'000;
  /// A Mate with more consents than this is looked up in PostgreSQL.
  static constexpr std::size_t kMaxRecords = 20'000'000;
  /// A Mate that nobody has asked about for this long costs nothing more than its memory.
  static constexpr std::chrono::seconds kInUse{30};

 private:
  std::chrono::milliseconds lease_time_;
  std::unordered_map<TenantId, std::unordered_map<MateId, Pointer>> copies_;
};

}  // namespace intra365::guard
