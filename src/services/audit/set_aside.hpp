// What the database refused of the audit trail: kept where people find it and an erasure reaches it, and
// brought back once what refused it is mended.
#pragma once
#include "platform/audit_trail.hpp"
#include "postgres/pool.hpp"

namespace intra365::errors {
inline constexpr ErrorCode unknown_set_aside{ErrorKind::not_found, "audit.unknown_set_aside",
                                             "There is no such entry, or it was brought into the trail."};
}  // namespace intra365::errors

namespace intra365::services::audit {

namespace wire = intra365::audit;

/// One entry that waits to be tried again.
struct Waiting {
  std::string set_aside_id, entry;
};
BOOST_DESCRIBE_STRUCT(Waiting, (), (set_aside_id, entry))

/// The SQL of it. Owned by one shard; not thread-safe.
class SetAside {
 public:
  explicit SetAside(postgres::Pool& database) : database_(database) {}

  /// Keeps an entry, once however often it comes. `entry` is JSON.
  Task<> keep(TenantId tenant, std::optional<UserId> user_id, std::string entry, const Error& reason,
              SteadyTime deadline);
  /// Keeps a message that nobody could read, and that names no tenant.
  Task<> keep_unreadable(std::string message, const Error& reason, SteadyTime deadline);

  Task<wire::SetAsideReply> list(TenantId tenant, SteadyTime deadline);
  Task<std::int64_t> count(TenantId tenant, SteadyTime deadline);
  /// One of them, or as many as one retry takes: those that were not tried for longest.
  Task<std::vector<Waiting>> waiting(TenantId tenant, std::optional<std::string> set_aside_id,
                                     SteadyTime deadline);
  /// It is in the trail now.
  Task<> remove(TenantId tenant, std::string set_aside_id, SteadyTime deadline);
  /// It was refused again.
  Task<> note_refusal(TenantId tenant, std::string set_aside_id, const Error& reason, SteadyTime deadline);

 private:
  postgres::Pool& database_;
};

}  // namespace intra365::services::audit
