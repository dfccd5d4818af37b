// The SQL of people's rights.
#pragma once
#include <map>

#include "platform/environment.hpp"
#include "platform/vault.hpp"
#include "services/privacy/model.hpp"

namespace intra365::services::privacy {

/// How far an erasure has got. An erasure goes in passes, each through all tables and then through what the
/// streams have that was not read yet; it ends with a pass that finds nothing.
struct Walk {
  /// `created` tells a stream from its successor of the same name.
  struct Read {
    std::string created;
    std::uint64_t sequence = 0;  ///< everything up to here was judged
  };
  std::optional<Timestamp> began;  ///< the pass
  std::string table;               ///< where it is; empty: before the first one
  std::optional<boost::json::value> key;
  bool tables_done = false;
  std::int64_t found = 0;  ///< in this pass
  std::map<std::string, Read> streams;
};
BOOST_DESCRIBE_STRUCT(Walk::Read, (), (created, sequence))
BOOST_DESCRIBE_STRUCT(Walk, (), (began, table, key, tables_done, found, streams))

/// An erasure to be swept, as it stands in the database.
struct Claimed {
  TenantId tenant_id;
  std::string request_id;
  postgres::Bytes sealed_user;
  UserId pseudonym;
  Timestamp received_at;
  std::int64_t claim = 0;  ///< of several who hold it, the one with the highest number does
  std::optional<boost::json::value> progress;
};
BOOST_DESCRIBE_STRUCT(Claimed, (),
                      (tenant_id, request_id, sealed_user, pseudonym, received_at, claim, progress))

/// What an erasure knows when it lets go of its place for a moment, or for good.
struct Report {
  Walk walk;
  std::int64_t rows = 0, messages = 0;            ///< since the last report
  bool held = false;                              ///< by somebody's legal hold
  bool done = false;                              ///< forgets who it was about
  std::optional<std::chrono::milliseconds> next;  ///< until somebody may take it; none: it is kept
};

/// What became of a step through a table.
enum class StepOutcome {
  held,      ///< a legal hold forbids it
  standing,  ///< something has to be revoked first
  more,
  done
};
BOOST_DESCRIBE_ENUM(StepOutcome, held, standing, more, done)
struct Step {
  StepOutcome outcome = StepOutcome::done;
  std::int64_t touched = 0;
  std::optional<boost::json::value> reached;
};
BOOST_DESCRIBE_STRUCT(Step, (), (outcome, touched, reached))

/// How far an erasure is, for whoever asks.
struct Progress {
  std::string request_id;
  wire::RequestState state = wire::RequestState::working;
  UserId pseudonym;
  std::int64_t rows = 0, messages = 0;
  bool held = false;
};
BOOST_DESCRIBE_STRUCT(Progress, (), (request_id, state, pseudonym, rows, messages, held))

/// An erasure of the tenant that is not done yet.
struct Working {
  std::string request_id;
  postgres::Bytes sealed_user;
};
BOOST_DESCRIBE_STRUCT(Working, (), (request_id, sealed_user))

/// A row of a person with its place in the table.
struct KeyedRow {
  boost::json::value content, key;
};
BOOST_DESCRIBE_STRUCT(KeyedRow, (), (content, key))

/// Owned by one shard; not thread-safe.
class Store {
 public:
  explicit Store(platform::Environment& environment) : database_(environment.database) {}
  /// Before anything else. `vault` must outlive the store.
  void use(platform::Vault& vault) { vault_ = &vault; }

  /// Tables with rows that can be a person's, in the order of their names.
  Task<std::vector<std::string>> personal_tables(TenantId tenant, SteadyTime deadline);
  /// A person's rows of one table behind a key, in its order.
  Task<std::vector<KeyedRow>> rows_of(TenantId tenant, UserId user, std::string table,
                                      std::optional<boost::json::value> after, int limit,
                                      SteadyTime deadline);
  /// Consents of a person that have evidence, in the order of their ids.
  Task<std::vector<ConsentId>> with_evidence(TenantId tenant, UserId user, std::string after,
                                             SteadyTime deadline);

  /// A person with an account.
  Task<bool> exists(TenantId tenant, UserId user, SteadyTime deadline);
  enum class Places : std::uint8_t { indexed, others };
  /// Whether any row names somebody who is no Mate: where an index tells, or where tables have to be read.
  Task<bool> is_named(TenantId tenant, UserId user, Places places, SteadyTime deadline);
  Task<bool> is_held(TenantId tenant, UserId user, SteadyTime deadline);
  Task<wire::PersonRequest> add(TenantId tenant, wire::PersonRequest request, SteadyTime deadline);
  Task<std::vector<wire::PersonRequest>> requests(TenantId tenant, std::optional<UserId> user,
                                                  std::optional<bool> open, SteadyTime deadline);
  /// How many requests of a person, or of all, are open past their deadline; counted to 100,000.
  Task<std::int64_t> overdue(TenantId tenant, std::optional<UserId> user, SteadyTime deadline);
  Task<bool> has_request(TenantId tenant, std::string request_id, SteadyTime deadline);
  /// Nothing where no such request is open.
  Task<std::optional<wire::PersonRequest>> resolve(TenantId tenant, wire::ResolveRequest request,
                                                   SteadyTime deadline);
  Task<std::optional<wire::CorrectReply>> correct(TenantId tenant, wire::CorrectRequest request,
                                                  SteadyTime deadline);
  /// At most `limit` groups of uses behind `after`, of one person or of all, with one Mate or with any.
  Task<std::vector<wire::AccessEntry>> accesses(TenantId tenant, std::optional<UserId> user,
                                                std::optional<MateId> mate, AccessPosition after, int limit,
                                                SteadyTime deadline);

  /// Durable when it returns; `claim` finds it. False: a legal hold forbids it.
  Task<bool> begin_erasure(TenantId tenant, std::string request_id, UserId user, postgres::Bytes sealed_user,
                           UserId pseudonym, Timestamp due_at, SteadyTime deadline);
  Task<std::vector<Working>> working(TenantId tenant, SteadyTime deadline);
  /// The one that has waited longest, if any is to be swept now.
  Task<std::optional<Claimed>> claim(SteadyTime deadline);
  /// Tables to be erased from, in the order in which it has to be done.
  Task<std::vector<std::string>> erasure_tables(SteadyTime deadline);
  /// Whether the person still takes part in something that has to be revoked.
  Task<bool> has_standing(TenantId tenant, UserId user, SteadyTime deadline);
  Task<Step> erase_rows(const Claimed& erasure, UserId user, std::string table,
                        std::optional<boost::json::value> after, SteadyTime deadline);
  /// Keeps what an erasure knows, and the claim on it. False: somebody else has taken it meanwhile.
  Task<bool> report(const Claimed& erasure, const Report& report, SteadyTime deadline);
  Task<std::optional<Progress>> progress(TenantId tenant, std::string request_id, SteadyTime deadline);

 private:
  /// Opens what requests say.
  Task<> open(TenantId tenant, std::vector<wire::PersonRequest>& requests, SteadyTime deadline);

  postgres::Pool& database_;
  platform::Vault* vault_ = nullptr;
};

}  // namespace intra365::services::privacy
