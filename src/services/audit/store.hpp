// The audit trail's SQL: appends as columns, questions, the chain's verification, legal holds.
#pragma once
#include "contract/operations/audit.hpp"
#include "platform/audit_trail.hpp"
#include "platform/reads.hpp"
#include "postgres/pool.hpp"

namespace intra365::errors {
inline constexpr ErrorCode unknown_hold{ErrorKind::not_found, "audit.unknown_hold",
                                        "There is no such legal hold, or it was released already."};
}  // namespace intra365::errors

namespace intra365::services::audit {

namespace wire = intra365::audit;

/// What a question about entries may see: everything of the tenant, or what concerns one principal.
struct Reader {
  std::optional<std::string> subject;  ///< absent: everything
  std::string user_id;                 ///< when the subject is a person
};

/// `<RFC 3339 time>~<entry id>` of the last entry of a page.
struct Cursor {
  std::optional<Timestamp> at;
  std::string entry_id;
};

/// One block of a tenant's chain, looked at.
struct CheckedBlock {
  std::int64_t block = 0, entries = 0;
  std::string hash;
  bool retired = false;
  std::optional<std::string> problem;
};
BOOST_DESCRIBE_STRUCT(CheckedBlock, (), (block, entries, hash, retired, problem))

struct PartitionStep {
  std::string action, partition_name;
};
BOOST_DESCRIBE_STRUCT(PartitionStep, (), (action, partition_name))

/// Owned by one shard; not thread-safe.
class Store {
 public:
  /// At most this many entries are looked at for one page of a verification.
  static constexpr std::int64_t entries_per_check = 100'000;

  /// Without `reads` nothing is searched, only appended and verified.
  explicit Store(postgres::Pool& database, platform::Reads* reads = nullptr)
      : database_(database), reads_(reads) {}

  /// Adds the entries that are not there yet, of any tenants, in one transaction.
  Task<> append(const std::vector<platform::AuditRecord>& records, SteadyTime deadline);
  Task<std::vector<wire::Entry>> find(TenantId tenant, wire::QueryRequest request, Reader reader,
                                      Cursor cursor, int limit, std::optional<SteadyTime> changed_at,
                                      SteadyTime deadline);

  /// The blocks from `from` on, as many as have `entries_per_check` entries, and at least one.
  Task<std::vector<CheckedBlock>> check(TenantId tenant, std::int64_t from, SteadyTime deadline);
  /// Hash and number of the chain's last block as its head says; nullopt when there is no chain yet.
  Task<std::optional<CheckedBlock>> head(TenantId tenant, SteadyTime deadline);
  Task<bool> knows_hash(TenantId tenant, std::string hash, SteadyTime deadline);
  /// Entries that belong to no block, of the time that the page of blocks stands for: from the one before it
  /// to its own last one; nullopt: to the end of time.
  Task<std::int64_t> outside_chain(TenantId tenant, std::int64_t from, std::optional<std::int64_t> to,
                                   SteadyTime deadline);
  /// Sweeps of erasures that changed entries and that the chain does not tell of.
  Task<std::int64_t> unknown_redactions(TenantId tenant, SteadyTime deadline);

  Task<wire::Hold> place_hold(TenantId tenant, wire::PlaceHoldRequest request, std::string by,
                              SteadyTime deadline);
  /// Nullopt when there is no such hold, or it was released already.
  Task<std::optional<wire::Hold>> release_hold(TenantId tenant, std::string hold_id, std::string by,
                                               SteadyTime deadline);
  Task<std::vector<wire::Hold>> holds(TenantId tenant, SteadyTime deadline);

  /// Decisions of the days from `since` to `until` (ISO dates), newest first.
  Task<std::vector<wire::DayOfDecisions>> report(TenantId tenant, std::optional<std::string> since,
                                                 std::optional<std::string> until,
                                                 std::optional<SteadyTime> changed_at, SteadyTime deadline);

  /// Brings the aggregates and reports up to date.
  Task<> refresh_reports(SteadyTime deadline);
  /// The next step for partitions: made ahead, retired, indexed; nullopt when there is none, or another
  /// instance is at it. What could not be locked in time is `busy`; those in `skip` are left alone.
  Task<std::optional<PartitionStep>> maintain(std::vector<std::string> skip, SteadyTime deadline);

 private:
  postgres::Pool& database_;
  platform::Reads* reads_;
};

}  // namespace intra365::services::audit
