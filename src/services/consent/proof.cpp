#include "services/consent/proof.hpp"

#include "contract/errors.hpp"
#include "crypto/attestation.hpp"
#include "services/consent/model.hpp"

namespace intra365::services::consent {
namespace {

namespace wire = intra365::consent;
using platform::Caller;
using postgres::Query;

constexpr std::size_t kMaxField = 500;
constexpr std::size_t kMaxText = 16 * 1024;

// Of two first writers one makes the key, and both use it.
constexpr Query identity_key{
    "consent_identity_key",
    "with made as (insert into intra365.consent_identities (tenant_id, user_id, sealed_key) values ($1, $2, "
    "$3)"
    "  on conflict (tenant_id, user_id) do update set sealed_key ="
    "  coalesce(intra365.consent_identities.sealed_key, excluded.sealed_key) returning sealed_key)"
    " select sealed_key from made"};
constexpr Query evidence_insert{"consent_evidence_insert",
                                "insert into intra365.consent_evidence (tenant_id, evidence_id, user_id, "
                                "sealed) values ($1, $2, $3, $4)"};
constexpr Query evidence_of{
    "consent_evidence",
    "select e.evidence_id, h.event, h.user_id, e.recorded_at, e.sealed from intra365.consent_history h"
    " join intra365.consent_evidence e on e.tenant_id = h.tenant_id and e.evidence_id = substr(h.evidence, "
    "10)"
    " where h.tenant_id = $1 and h.consent_id = $2 and h.evidence like 'evidence:%' order by h.sequence "
    "limit "
    "100"};
constexpr Query whose{"consent_whose",
                      "select r.user_id, encode(i.salt, 'hex') as salt from intra365.consent_records r"
                      " left join intra365.consent_identities i using (tenant_id, user_id)"
                      " where r.tenant_id = $1 and r.consent_id = $2"};
constexpr Query chain_of{"consent_chain",
                         "select intra365.consent_statement(h) as statement, encode(h.hash, 'hex') as hash"
                         " from intra365.consent_history h where h.tenant_id = $1 and h.consent_id = $2 "
                         "order by h.sequence limit 10001"};

struct KeyRow {
  postgres::Bytes sealed_key;
};
BOOST_DESCRIBE_STRUCT(KeyRow, (), (sealed_key))

struct EvidenceRow {
  std::string evidence_id;
  wire::EventKind event = wire::EventKind::granted;
  wire::SubjectId user_id;
  Timestamp recorded_at;
  postgres::Bytes sealed;
};
BOOST_DESCRIBE_STRUCT(EvidenceRow, (), (evidence_id, event, user_id, recorded_at, sealed))

std::string context_of(std::string_view table, const TenantId& tenant, std::string_view id) {
  return std::string(table) + "/" + tenant.str() + "/" + std::string(id);
}

Result<void> check(const wire::Evidence& evidence) {
  for (const auto* field : {&evidence.address, &evidence.user_agent, &evidence.language}) {
    if (*field && (*field)->size() > kMaxField)
      return fail(intra365::errors::bad_value,
                  "proof: address, userAgent and language have at most 500 bytes");
  }
  if (evidence.text && evidence.text->size() > kMaxText)
    return fail(intra365::errors::bad_value, "proof.text: at most 16 KiB");
  return {};
}

/// A consent is proven to the person it is of, and to privacy officers; `also`: who else may see this.
Result<void> check_reader(const Caller& caller, const wire::SubjectId& user, bool also) {
  if ((caller.kind == PrincipalKind::user && caller.id == user.str()) || caller.is_privacy_officer() ||
      caller.is_service() || also)
    return {};
  return fail(errors::unknown_consent);
}

}  // namespace

Task<crypto::Envelope> Proof::key_of(TenantId tenant, UserId user, SteadyTime deadline) {
  const auto context = context_of("consent_identities", tenant, user.str());
  const postgres::Bytes fresh{attestor_.envelope().seal(random_bytes(32), context)};
  auto parameters = postgres::bind(tenant, user, fresh);
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await environment_.database.query(scope, identity_key, std::move(parameters), deadline));
  CO_TRY(const auto keys, rows.as<KeyRow>());
  if (keys.empty()) co_return fail(postgres::errors::bad_row, "consent_identities returned no key");
  CO_TRY(auto key, attestor_.envelope().open(keys.front().sealed_key.value, context));
  co_return crypto::Envelope(std::move(key));
}

Task<std::string> Proof::keep(const Caller& caller, UserId user, wire::Evidence evidence) {
  CO_CHECK(check(evidence));
  CO_TRY(const auto key, co_await key_of(caller.tenant, user, caller.deadline));
  const auto id = new_uuid();
  const postgres::Bytes sealed{
      key.seal(json::encode(evidence), context_of("consent_evidence", caller.tenant, id))};
  auto parameters = postgres::bind(caller.tenant, id, user, sealed);
  postgres::Scope scope{caller.tenant.str()};
  CO_CHECK(
      co_await environment_.database.query(scope, evidence_insert, std::move(parameters), caller.deadline));
  co_return "evidence:" + id;
}

Task<wire::EvidenceReply> Proof::evidence(const Caller& caller, const wire::ProofRequest& request) {
  caller.note->consent_id = request.consent_id;
  postgres::Scope scope{caller.tenant.str()};
  auto parameters = postgres::bind(caller.tenant, request.consent_id);
  CO_TRY(const auto rows,
         co_await environment_.database.query(scope, evidence_of, std::move(parameters), caller.deadline));
  CO_TRY(const auto kept, rows.as<EvidenceRow>());
  wire::EvidenceReply reply;
  if (kept.empty()) co_return reply;
  const auto& user = kept.front().user_id;
  caller.note->user_id = person_of(user);
  CO_CHECK(check_reader(caller, user, false));
  CO_TRY(const auto key, co_await key_of(caller.tenant, UserId::trusted(user.str()), caller.deadline));
  for (const auto& row : kept) {
    CO_TRY(const auto text,
           key.open(row.sealed.value, context_of("consent_evidence", caller.tenant, row.evidence_id)));
    auto& entry = reply.entries.emplace_back();
    CO_TRY(entry.evidence, json::decode<wire::Evidence>(text));
    entry.evidence_id = row.evidence_id;
    entry.event = row.event;
    entry.recorded_at = row.recorded_at;
  }
  co_return reply;
}

Task<AttestedDocument> Proof::receipt(const Caller& caller, wire::ProofRequest request,
                                      std::shared_ptr<const wire::Catalogue> catalogue, Speaks speaks) {
  caller.note->consent_id = request.consent_id;
  std::vector<postgres::Statement> statements;
  statements.push_back({whose, postgres::bind(caller.tenant, request.consent_id)});
  statements.push_back({chain_of, postgres::bind(caller.tenant, request.consent_id)});
  postgres::Scope scope{caller.tenant.str()};
  CO_TRY(const auto results,
         co_await environment_.database.atomically(scope, std::move(statements), caller.deadline));
  CO_TRY(const auto subject, results.at(0).as_optional<wire::ChainSubject>());
  if (!subject) co_return fail(errors::unknown_consent);
  caller.note->user_id = person_of(subject->user_id);
  CO_CHECK(check_reader(caller, subject->user_id, caller.is_operator() || speaks == Speaks::for_the_group));
  CO_TRY(const auto changes, results.at(1).as<wire::ChainedChange>());
  CO_TRY(auto document, wire::make_receipt(caller.tenant, request.consent_id, *subject, changes, *catalogue,
                                           environment_.clock.now()));
  co_return attestor_.attest(crypto::attested::consent_receipt, std::move(document));
}

}  // namespace intra365::services::consent
