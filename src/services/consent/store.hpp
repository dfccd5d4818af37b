// The consent service's tables.
#pragma once
#include <map>
#include <unordered_map>

#include "contract/operations/opt_outs.hpp"
#include "guard/consent_copy.hpp"
#include "platform/environment.hpp"
#include "services/consent/model.hpp"

namespace intra365::services::consent {

/// A change, and the record as it leaves it.
struct Change {
  intra365::consent::HistoryEntry change;
  intra365::consent::Consent record;
};
BOOST_DESCRIBE_STRUCT(Change, (), (change, record))

/// Changes that are stored all or none.
struct Append {
  std::vector<Change> changes;
  std::string trace_id;
};

struct Page {
  int limit = 50;
  std::string after;
};

class Store {
 public:
  explicit Store(platform::Environment& environment)
      : database_(environment.database), reads_(environment.reads) {}

  /// Records, history rows and epochs, everything in one transaction; durable when it returns. Returns for
  /// each append what was changed, and after it everything delegated below, with new epochs; all as stored,
  /// not as they hold. Empty where a record was not at the revision before its change any more: nothing of
  /// that append is stored then.
  Task<std::vector<std::vector<intra365::consent::Consent>>> append(TenantId tenant,
                                                                    std::vector<const Append*> appends,
                                                                    SteadyTime deadline);
  /// A record, of this user where one is named.
  Task<std::optional<intra365::consent::Consent>> get(TenantId tenant, std::optional<UserId> user,
                                                      ConsentId id, SteadyTime deadline);
  /// What a delegated consent hangs on, the nearest first, and its own epoch at that moment.
  struct Chain {
    std::uint64_t mate_epoch = 0;
    std::vector<intra365::consent::Consent> records;
  };
  Task<std::map<ConsentId, Chain>> above(TenantId tenant, std::vector<ConsentId> ids, SteadyTime deadline);
  /// Makes every delegated one of `records`, which must outlive the call, as it holds. Fails with
  /// `postgres.unavailable` where the database has gone back since they were read.
  Task<> make_effective(TenantId tenant, std::vector<intra365::consent::Consent>& records,
                        SteadyTime deadline);
  /// Up to `limit` records of a user or a group, for one Mate or all, that can still be revoked.
  Task<std::vector<intra365::consent::Consent>> revocable(TenantId tenant, intra365::consent::SubjectId of,
                                                          std::optional<MateId> mate, int limit,
                                                          SteadyTime deadline);
  /// The changes between a user or a group and a Mate that held at one time, as known at another; at most
  /// 2,000.
  Task<std::vector<intra365::consent::HistoryEntry>> changes(TenantId tenant,
                                                             intra365::consent::SubjectId user, MateId mate,
                                                             Timestamp valid_at, Timestamp known_at,
                                                             SteadyTime deadline);
  /// What the database calls now: the clock that `recorded_at` is of.
  Task<Timestamp> now(SteadyTime deadline);
  /// The tenant's own entries.
  Task<intra365::consent::CatalogueReply> catalogue(TenantId tenant, SteadyTime deadline);
  Task<> close_catalogue(TenantId tenant, bool closed, SteadyTime deadline);
  Task<> put(TenantId tenant, intra365::consent::PurposeEntry entry, SteadyTime deadline);
  Task<> put(TenantId tenant, intra365::consent::ScopeEntry entry, SteadyTime deadline);
  /// Purposes that a person has opted out of before.
  Task<std::vector<Purpose>> opted_out(TenantId tenant, UserId user, SteadyTime deadline);
  Task<> note_opt_out(TenantId tenant, UserId user, std::vector<Purpose> purposes,
                      intra365::consent::OptOutMethod method, SteadyTime deadline);
  /// What a user has granted a Mate, dead records included, with the user's epoch at that time.
  struct Pair {
    std::vector<intra365::consent::Consent> records;
    std::uint64_t epoch = 0;
  };
  Task<Pair> find(TenantId tenant, UserId user, MateId mate, SteadyTime deadline);
  Task<std::vector<intra365::consent::Consent>> query(TenantId tenant, View view, std::optional<bool> active,
                                                      Page page, SteadyTime deadline);
  Task<std::vector<intra365::consent::HistoryEntry>> history(TenantId tenant, View view,
                                                             std::optional<ConsentId> consent, Page page,
                                                             std::optional<SteadyTime> changed_at,
                                                             SteadyTime deadline);
  /// Those of `ids` that are consents of the tenant, in their order.
  Task<std::vector<ConsentId>> which_exist(TenantId tenant, std::vector<ConsentId> ids, SteadyTime deadline);
  /// Epochs of Mates, each with an answer, and what time it was in the database.
  struct MateEpochs {
    std::unordered_map<std::string, std::uint64_t> by_mate;
    Timestamp at{};
  };
  Task<MateEpochs> mate_epochs(TenantId tenant, std::vector<std::string> mates, SteadyTime deadline);
  /// What changed, and the Mate's epoch of the same moment: the records are at least as new.
  struct Changed {
    std::uint64_t mate_epoch = 0;
    Timestamp at{};
    std::vector<intra365::consent::Consent> records;
  };
  /// For a copy that keeps `everything`: with consents of groups, and from the first on with whatever says
  /// no.
  Task<Changed> changed_since(TenantId tenant, MateId mate, std::uint64_t mate_epoch, int limit,
                              guard::Holding holding, SteadyTime deadline);
  /// The same with those that no longer hold, and without evidence: for copies in memory.
  Task<Changed> all_changed_since(TenantId tenant, MateId mate, std::uint64_t mate_epoch, int limit,
                                  SteadyTime deadline);

 private:
  Task<Changed> changed(TenantId tenant, MateId mate, postgres::Statement page, SteadyTime deadline);

  postgres::Pool& database_;
  platform::Reads& reads_;
};

}  // namespace intra365::services::consent
