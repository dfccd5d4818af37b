// The SQL of people's rights.
#pragma once
#include "platform/environment.hpp"
#include "platform/vault.hpp"
#include "services/privacy/model.hpp"

namespace intra365::services::privacy {

/// An erasure to be swept, as it stands in the database.
struct Claimed {
  TenantId tenant_id;
  std::string request_id;
  postgres::Bytes sealed_user;
  UserId pseudonym;
  Timestamp received_at;
  bool shut_out = false;  ///< consents and credentials have ended
  int sweep = 1;
};
BOOST_DESCRIBE_STRUCT(Claimed, (),
                      (tenant_id, request_id, sealed_user, pseudonym, received_at, shut_out, sweep))

/// How far an erasure has got.
struct Progress {
  std::string request_id;
  wire::RequestState state = wire::RequestState::working;
  UserId pseudonym;
  std::int64_t rows = 0, messages = 0;
};
BOOST_DESCRIBE_STRUCT(Progress, (), (request_id, state, pseudonym, rows, messages))

/// Owned by one shard; not thread-safe.
class Store {
 public:
  explicit Store(platform::Environment& environment) : database_(environment.database) {}
  /// Before anything else. `vault` must outlive the store.
  void use(platform::Vault& vault) { vault_ = &vault; }

  /// Tables with rows that can be a person's, in the order of their names.
  Task<std::vector<std::string>> personal_tables(TenantId tenant, SteadyTime deadline);
  /// A person's rows of one table, in the order of its key.
  Task<std::vector<boost::json::value>> rows_of(TenantId tenant, UserId user, std::string table,
                                                std::int64_t skip, int limit, SteadyTime deadline);
  /// Consents of a person that have evidence.
  Task<std::vector<ConsentId>> with_evidence(TenantId tenant, UserId user, SteadyTime deadline);

  Task<bool> exists(TenantId tenant, UserId user, SteadyTime deadline);
  Task<bool> is_held(TenantId tenant, UserId user, SteadyTime deadline);
  Task<wire::PersonRequest> add(TenantId tenant, wire::PersonRequest request, SteadyTime deadline);
  Task<std::vector<wire::PersonRequest>> requests(TenantId tenant, std::optional<UserId> user,
                                                  std::optional<bool> open, SteadyTime deadline);
  Task<std::optional<wire::PersonRequest>> resolve(TenantId tenant, wire::ResolveRequest request,
                                                   SteadyTime deadline);
  Task<std::optional<wire::CorrectReply>> correct(TenantId tenant, wire::CorrectRequest request,
                                                  SteadyTime deadline);
  Task<std::vector<wire::AccessEntry>> accesses(TenantId tenant, wire::AccessRequest request,
                                                SteadyTime deadline);

  /// Durable when it returns; `claim` finds it.
  Task<> begin_erasure(TenantId tenant, std::string request_id, postgres::Bytes sealed_user, UserId pseudonym,
                       Timestamp due_at, SteadyTime deadline);
  Task<std::vector<Claimed>> claim(SteadyTime deadline);
  Task<> note_shut_out(const Claimed& erasure, SteadyTime deadline);
  /// Rows that still named the person and no longer do.
  Task<std::int64_t> erase(const Claimed& erasure, UserId user, SteadyTime deadline);
  /// After a sweep. `done` forgets who it was about.
  Task<> swept(const Claimed& erasure, std::int64_t rows, std::int64_t messages, bool done,
               SteadyTime deadline);
  Task<std::optional<Progress>> progress(TenantId tenant, std::string request_id, SteadyTime deadline);

 private:
  /// Opens what requests say.
  Task<> open(TenantId tenant, std::vector<wire::PersonRequest>& requests, SteadyTime deadline);

  postgres::Pool& database_;
  platform::Vault* vault_ = nullptr;
};

}  // namespace intra365::services::privacy
