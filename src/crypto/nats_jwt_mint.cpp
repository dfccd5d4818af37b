// Minting of NATS JWTs. The order of members is that of the reference implementation, field for field: a
// token with the same claims is the same text, whoever minted it.
#include <algorithm>
#include <cassert>

#include "crypto/encoding.hpp"
#include "crypto/json_writer.hpp"
#include "crypto/nats_jwt.hpp"

namespace intra365::crypto {
namespace {

/// base64url of {"typ":"JWT","alg":"ed25519-nkey"}
constexpr std::string_view kHeader = "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ";
constexpr std::int64_t kUnlimited = -1;

/// The claims that every type has. An empty text and an absent time are left out.
struct CommonClaims {
  std::string_view audience;
  std::optional<Timestamp> expires_at;
  Timestamp issued_at;
  std::string_view issuer;
  std::string_view name;
  std::string_view subject;

  void write(JsonWriter& json, std::string_view id) const {
    json.member_if_any("aud", audience);
    // 0 would be read as "never": a time before 1970 is long past, so it must stay past.
    if (expires_at) json.member("exp", std::max<std::int64_t>(1, unix_seconds(*expires_at)));
    json.member_if_any("jti", id);
    json.member("iat", unix_seconds(issued_at));
    json.member_if_any("iss", issuer).member_if_any("name", name).member_if_any("sub", subject);
  }

  /// The `jti`: a hash over these claims alone, in the text that Go's encoder gives them.
  std::string id() const {
    JsonWriter json(JsonWriter::Escape::go_html);
    json.begin_object();
    write(json, {});
    json.end_object();
    return base32(sha512_256(json.text()));
  }
};

/// Signs the claims; `nats` is the text of the member of that name.
std::string sign(const CommonClaims& claims, std::string_view nats, const Nkey& signer) {
  JsonWriter json;
  json.begin_object();
  claims.write(json, claims.id());
  json.key("nats").raw(nats).end_object();
  std::string token(kHeader);
  token += '.';
  token += base64url(json.text());
  const std::string signature = base64url(signer.sign(token));
  token += '.';
  token += signature;
  return token;
}

void end_of_type(JsonWriter& json, std::string_view type) {
  json.member("type", type).member("version", std::int64_t{2}).end_object();
}

/// An empty list becomes an explicit denial: the server reads an empty object as "everything".
void write_subjects(JsonWriter& json, std::string_view name, const std::vector<std::string>& subjects) {
  json.key(name).begin_object();
  if (subjects.empty()) json.key("deny").begin_array().value(">").end_array();
  json.member_if_any("allow", subjects).end_object();
}

void write_permissions(JsonWriter& json, const std::optional<Permissions>& permissions) {
  if (!permissions) {
    json.key("pub").raw("{}").key("sub").raw("{}");
    return;
  }
  write_subjects(json, "pub", permissions->publish);
  write_subjects(json, "sub", permissions->subscribe);
  if (permissions->reply_max > 0) {
    json.key("resp").begin_object().member("max", std::int64_t{permissions->reply_max});
    json.member("ttl", std::int64_t{permissions->reply_ttl.count()}).end_object();
  }
}

void write_import(JsonWriter& json, const Import& import) {
  json.begin_object().member_if_any("name", import.name).member("subject", import.subject);
  json.member("account", import.account).member_if_any("local_subject", import.local_subject);
  json.member("type", import.is_stream ? "stream" : "service");
  if (import.share) json.key("share").boolean(true);
  json.end_object();
}

void write_export(JsonWriter& json, std::string_view type, const std::string& name,
                  const std::string& subject, unsigned account_token_position, bool many_replies) {
  json.begin_object().member_if_any("name", name).member("subject", subject).member("type", type);
  if (many_replies) json.member("response_type", "Stream");
  if (account_token_position > 0) json.member("account_token_position", std::int64_t{account_token_position});
  json.end_object();
}

void write_account_limits(JsonWriter& json, const AccountClaims& claims) {
  const std::int64_t storage = claims.jetstream ? kUnlimited : 0;
  json.key("limits").begin_object();
  json.member("subs", kUnlimited).member("data", kUnlimited).member("payload", claims.max_payload);
  json.member("imports", kUnlimited).member("exports", kUnlimited).key("wildcards").boolean(true);
  json.member("conn", claims.max_connections).member("leaf", kUnlimited);
  json.member("mem_storage", storage).member("disk_storage", storage);
  json.member("streams", storage).member("consumer", storage).end_object();
}

void write_callout(JsonWriter& json, const AccountClaims& claims) {
  json.key("authorization").begin_object();
  json.member_if_any("auth_users", claims.callout_users);
  json.member_if_any("allowed_accounts", claims.callout_allowed_accounts);
  json.member_if_any("xkey", claims.callout_xkey.value_or("")).end_object();
}

}  // namespace

std::string mint(const OperatorClaims& claims, const Nkey& signer, Timestamp now) {
  assert(signer.kind() == KeyKind::operator_);
  JsonWriter nats;
  nats.begin_object().member_if_any("signing_keys", claims.signing_keys);
  nats.member_if_any("system_account", claims.system_account);
  end_of_type(nats, "operator");
  return sign({{}, std::nullopt, now, signer.public_key(), claims.name, claims.subject}, nats.text(), signer);
}

std::string mint(const AccountClaims& claims, const Nkey& signer, Timestamp now) {
  assert(signer.kind() == KeyKind::operator_);
  JsonWriter nats;
  nats.begin_object();
  if (!claims.imports.empty()) {
    nats.key("imports").begin_array();
    for (const Import& import : claims.imports) write_import(nats, import);
    nats.end_array();
  }
  if (!claims.service_exports.empty() || !claims.stream_exports.empty()) {
    nats.key("exports").begin_array();
    for (const ServiceExport& each : claims.service_exports)
      write_export(nats, "service", each.name, each.subject, each.account_token_position, each.many_replies);
    for (const StreamExport& each : claims.stream_exports)
      write_export(nats, "stream", each.name, each.subject, each.account_token_position, false);
    nats.end_array();
  }
  write_account_limits(nats, claims);
  nats.member_if_any("signing_keys", claims.signing_keys);
  if (!claims.revocations.empty()) {
    nats.key("revocations").begin_object();
    for (const auto& [user, time] : claims.revocations) nats.member(user, unix_seconds(time));
    nats.end_object();
  }
  nats.key("default_permissions").raw(R"({"pub":{},"sub":{}})");
  write_callout(nats, claims);
  end_of_type(nats, "account");
  return sign({{}, std::nullopt, now, signer.public_key(), claims.name, claims.subject}, nats.text(), signer);
}

std::string mint(const UserClaims& claims, const Nkey& signer, Timestamp now) {
  assert(signer.kind() == KeyKind::account);
  JsonWriter nats;
  nats.begin_object();
  write_permissions(nats, claims.permissions);
  // Always written: the server takes an absent limit for zero.
  nats.member("subs", kUnlimited).member("data", kUnlimited).member("payload", kUnlimited);
  if (claims.bearer) nats.key("bearer_token").boolean(true);
  nats.member_if_any("issuer_account", claims.issuer_account.value_or(""));
  nats.member_if_any("tags", claims.tags);
  end_of_type(nats, "user");
  return sign({claims.audience, claims.expires_at, now, signer.public_key(), claims.name, claims.subject},
              nats.text(), signer);
}

std::string mint(const AuthorizationResponse& response, const Nkey& signer, Timestamp now) {
  assert(signer.kind() == KeyKind::account);
  assert(response.user_jwt.empty() != response.error.empty());
  JsonWriter nats;
  nats.begin_object().member_if_any("jwt", response.user_jwt).member_if_any("error", response.error);
  nats.member_if_any("issuer_account", response.issuer_account.value_or(""));
  end_of_type(nats, "authorization_response");
  return sign({response.server_id, std::nullopt, now, signer.public_key(), {}, response.user_nkey},
              nats.text(), signer);
}

}  // namespace intra365::crypto
