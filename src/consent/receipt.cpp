#include "consent/receipt.hpp"

#include <algorithm>

#include "consent/lifecycle.hpp"
#include "crypto/encoding.hpp"

namespace intra365::consent {
namespace {

namespace bj = boost::json;

constexpr std::string_view kSchema = "ISO/IEC TS 27560:2023; intra365-consent-receipt/1";
constexpr std::string_view kWithdrawal = "intra365.consent.revoke, at any time and without a reason";
constexpr std::size_t kMaxChanges = 10'000;

/// A statement, read back.
struct Statement {
  int v = 0;
  ConsentId consent_id;
  std::string subject;
  MateId mate_id;
  EventKind event = EventKind::granted;
  std::string actor;
  std::vector<Purpose> purposes;
  std::vector<Scope> scopes;
  std::optional<Timestamp> expires_at;
  Timestamp valid_from, recorded_at;
  std::uint64_t epoch = 0, revision = 0;
  std::optional<std::string> method, notice_version, evidence;
  std::optional<ConsentId> superseded_by, parent_id;
  int delegation_depth = 0;
};
BOOST_DESCRIBE_STRUCT(Statement, (),
                      (v, consent_id, subject, mate_id, event, actor, purposes, scopes, expires_at,
                       valid_from, recorded_at, epoch, revision, method, notice_version, evidence,
                       superseded_by, parent_id, delegation_depth))

struct Proof {
  std::string subject;              ///< hex; what every statement calls the person
  std::optional<std::string> salt;  ///< hex
  std::vector<ChainedChange> chain;
};
BOOST_DESCRIBE_STRUCT(Proof, (), (subject, salt, chain))

Failure broken(std::string where) {
  return fail(errors::bad_receipt, std::move(where));
}

/// The statements of a chain whose every link holds.
Result<std::vector<Statement>> read_chain(const Proof& proof) {
  if (proof.chain.empty() || proof.chain.size() > kMaxChanges)
    return broken("proof.chain: 1 to 10,000 changes");
  std::vector<Statement> statements;
  std::string before;
  for (const auto& link : proof.chain) {
    const auto where = "proof.chain[" + std::to_string(statements.size()) + "]";
    before = crypto::sha256(before + link.statement);
    if (crypto::hex(before) != link.hash) return broken(where + ": the hash is another");
    auto statement = json::decode<Statement>(link.statement);
    if (!statement) return broken(where + ": " + statement.error().detail);
    if (statement->v != 1) return broken(where + ": of an unknown version");
    if (statement->subject != proof.subject) return broken(where + ": about another person");
    if (!statements.empty() && (statement->consent_id != statements.front().consent_id ||
                                statement->mate_id != statements.front().mate_id))
      return broken(where + ": about another consent");
    statements.push_back(*std::move(statement));
  }
  return statements;
}

Status status_of(const std::vector<Statement>& changes) {
  auto status = Status::active;
  for (const auto& change : changes) status = status_after(status, change.event);
  return status;
}

bj::value word(std::string_view text) {
  return bj::value(text);
}

bj::value time_or_null(const std::optional<Timestamp>& at) {
  return at ? word(format_rfc3339(*at)) : bj::value(nullptr);
}

template <class Name>
bj::array names(const std::vector<Name>& list) {
  bj::array array;
  for (const auto& one : list) array.push_back(word(one.str()));
  return array;
}

bj::array events(const std::vector<Statement>& changes) {
  bj::array list;
  for (const auto& change : changes) {
    list.push_back(bj::object{{"event_time", format_rfc3339(change.recorded_at)},
                              {"event_state", boost::describe::enum_to_string(change.event, "unknown")},
                              {"entity_id", change.actor},
                              {"valid_from", format_rfc3339(change.valid_from)},
                              {"valid_until", time_or_null(change.expires_at)},
                              {"purposes", names(change.purposes)},
                              {"pii_types", names(change.scopes)}});
  }
  return list;
}

/// What every receipt of this chain says, whoever prints it: compared with what a document says.
bj::object facts(const std::vector<Statement>& changes) {
  const auto& first = changes.front();
  const auto& last = changes.back();
  bj::object object;
  object["record_id"] = first.consent_id.str();
  object["status"] = boost::describe::enum_to_string(status_of(changes), "unknown");
  object["recipient_third_parties"] = bj::array{word(first.mate_id.str())};
  object["lawful_basis"] = "consent";
  object["collection_method"] = first.method ? word(*first.method) : bj::value(nullptr);
  object["privacy_notice"] = first.notice_version ? word(*first.notice_version) : bj::value(nullptr);
  object["purposes"] = names(last.purposes);
  object["pii_types"] = names(last.scopes);
  object["valid_until"] = time_or_null(last.expires_at);
  object["event"] = events(changes);
  return object;
}

template <class Entries>
bj::object descriptions(const Entries& entries, const bj::array& wanted, auto name_of) {
  bj::object found;
  for (const auto& entry : entries) {
    const auto same = [&](const bj::value& one) { return one.get_string() == name_of(entry); };
    if (!entry.description.empty() && std::ranges::any_of(wanted, same))
      found[name_of(entry)] = entry.description;
  }
  return found;
}

Result<Proof> read_proof(const bj::value& document) {
  const auto* object = document.if_object();
  const auto* member = object != nullptr ? object->if_contains("proof") : nullptr;
  if (member == nullptr) return broken("proof: missing");
  auto proof = json::from_value<Proof>(*member);
  if (!proof) return broken("proof: " + proof.error().detail);
  return proof;
}

}  // namespace

Result<bj::value> make_receipt(const TenantId& tenant, const ConsentId& id, const ChainSubject& subject,
                               const std::vector<ChainedChange>& changes, const Catalogue& catalogue,
                               Timestamp issued_at) {
  Proof proof;
  proof.chain = changes;
  proof.salt = subject.salt;
  if (!changes.empty()) {
    TRY(const auto first, json::decode<Statement>(changes.front().statement));
    proof.subject = first.subject;
  }
  TRY(const auto statements, read_chain(proof));
  auto document = facts(statements);
  if (document["record_id"].get_string() != id.str()) return broken("record_id: of another consent");
  const auto known = catalogue.list();
  document["schema_version"] = kSchema;
  document["issued_at"] = format_rfc3339(issued_at);
  document["pii_principal_id"] = subject.user_id.str();
  document["withdrawal_method"] = kWithdrawal;
  document["party_identification"] =
      bj::array{bj::object{{"party_id", tenant.str()}, {"party_role", "pii_controller"}},
                bj::object{{"party_id", statements.front().mate_id.str()}, {"party_role", "recipient"}}};
  document["purpose_descriptions"] = descriptions(known.purposes, document["purposes"].get_array(),
                                                  [](const PurposeEntry& one) { return one.purpose.str(); });
  document["pii_type_descriptions"] = descriptions(known.scopes, document["pii_types"].get_array(),
                                                   [](const ScopeEntry& one) { return one.scope.str(); });
  document["proof"] = json::to_value(proof);
  return document;
}

Result<ReceiptSummary> check_receipt(const bj::value& document) {
  TRY(const auto proof, read_proof(document));
  TRY(const auto changes, read_chain(proof));
  const auto& object = document.get_object();
  for (const auto& fact : facts(changes)) {
    const auto* said = object.if_contains(fact.key());
    if (said == nullptr || *said != fact.value())
      return broken(std::string(fact.key()) + ": not what the chain says");
  }
  ReceiptSummary summary;
  if (proof.salt) {
    const auto* principal = object.if_contains("pii_principal_id");
    const auto salt = crypto::decode_hex(*proof.salt);
    if (principal == nullptr || !principal->is_string() || !salt ||
        crypto::hex(crypto::sha256(*salt + std::string(principal->get_string()))) != proof.subject)
      return broken("pii_principal_id: the chain is about another person");
    TRY(summary.user_id, SubjectId::parse(std::string_view(principal->get_string())));
  }
  summary.consent_id = changes.front().consent_id;
  summary.mate_id = changes.front().mate_id;
  summary.status = status_of(changes);
  summary.purposes = changes.back().purposes;
  summary.scopes = changes.back().scopes;
  summary.expires_at = changes.back().expires_at;
  summary.changes = changes.size();
  summary.head = proof.chain.back().hash;
  return summary;
}

Result<void> check_continues(const bj::value& later, const bj::value& earlier) {
  TRY(const auto now, read_proof(later));
  TRY(const auto then, read_proof(earlier));
  for (std::size_t i = 0; i < then.chain.size(); ++i) {
    if (i >= now.chain.size() || now.chain[i].hash != then.chain[i].hash)
      return broken("proof.chain[" + std::to_string(i) + "]: the earlier receipt has another change there");
  }
  return {};
}

}  // namespace intra365::consent
