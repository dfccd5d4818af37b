// Reading of NATS JWTs and of the authorization requests of servers.
#include <algorithm>

#include "crypto/encoding.hpp"
#include "crypto/nats_jwt.hpp"
#include "crypto/strict_json.hpp"

namespace intra365::crypto {
namespace {

constexpr std::size_t kMaxToken = 1 << 20;
constexpr std::string_view kRequestAudience = "nats-authorization-request";

std::string text_of(const boost::json::object& object, std::string_view name) {
  const auto* text = string_member(object, name);
  return text != nullptr ? std::string(*text) : std::string();
}

std::optional<Timestamp> time_of(const boost::json::object& object, std::string_view name) {
  const auto seconds = number_member(object, name);
  // 9999-12-31: later ones do not fit into microseconds and mean nothing else.
  constexpr std::int64_t last_second = 253402300799;
  if (!seconds || *seconds == 0) return std::nullopt;
  return from_unix_seconds(std::min(*seconds, last_second));
}

/// An absent member is fine, one that is not a whole number is not: it would silently mean "no limit".
bool is_time_or_absent(const boost::json::object& object, std::string_view name) {
  return !object.contains(name) || number_member(object, name).has_value();
}

/// Which kinds of keys may sign which type of token.
bool may_sign(std::string_view issuer, std::string_view type) {
  const auto is = [&](KeyKind kind) { return is_public_key(issuer, kind); };
  if (type == "user" || type == "authorization_response" || type == "activation") return is(KeyKind::account);
  if (type == "authorization_request") return is(KeyKind::server);
  if (type == "account") return is(KeyKind::account) || is(KeyKind::operator_);
  if (type == "operator") return is(KeyKind::operator_);
  return false;
}

bool is_nats_header(std::string_view encoded) {
  const auto text = decode_base64url(encoded);
  if (!text) return false;
  const auto header = parse_strict_object(*text);
  if (!header || header->contains("crit")) return false;
  std::string type = text_of(*header, "typ");
  std::ranges::transform(type, type.begin(), [](char c) { return c >= 'a' && c <= 'z' ? char(c - 32) : c; });
  // Version 1 tokens (alg "ed25519") are signed over another text; no server sends them any more.
  return type == "JWT" && text_of(*header, "alg") == "ed25519-nkey";
}

Failure refuse(std::string why) {
  return fail(errors::bad_nats_jwt, std::move(why));
}

}  // namespace

Result<NatsJwt> read_nats_jwt(std::string_view jwt) {
  if (jwt.size() > kMaxToken) return refuse("The NATS JWT is larger than 1 MiB.");
  const std::size_t first = jwt.find('.');
  const std::size_t second = first == jwt.npos ? jwt.npos : jwt.find('.', first + 1);
  if (second == jwt.npos || jwt.find('.', second + 1) != jwt.npos)
    return refuse("A NATS JWT has exactly three parts.");
  if (!is_nats_header(jwt.substr(0, first))) return refuse("The header is not that of a version 2 NATS JWT.");

  const auto text = decode_base64url(jwt.substr(first + 1, second - first - 1));
  const auto signature = decode_base64url(jwt.substr(second + 1));
  if (!text || !signature) return refuse("A part of the NATS JWT is not base64url.");
  auto claims = parse_strict_object(*text);
  if (!claims) return refuse("The claims of the NATS JWT are not one strict JSON object.");
  const auto* nats = object_member(*claims, "nats");
  if (nats == nullptr) return refuse("The NATS JWT has no member nats.");
  if (number_member(*nats, "version") != 2) return refuse("The NATS JWT is not of version 2.");

  NatsJwt result;
  result.type = text_of(*nats, "type");
  result.issuer = text_of(*claims, "iss");
  if (!may_sign(result.issuer, result.type))
    return refuse("A key of this kind does not sign this type of NATS JWT.");
  if (!verify(result.issuer, jwt.substr(0, second), *signature))
    return refuse("The signature of the NATS JWT does not hold.");
  if (!is_time_or_absent(*claims, "exp") || !is_time_or_absent(*claims, "iat"))
    return refuse("A time in the NATS JWT is not a whole number of seconds.");

  result.subject = text_of(*claims, "sub");
  result.name = text_of(*claims, "name");
  result.audience = text_of(*claims, "aud");
  result.issued_at = time_of(*claims, "iat");
  result.expires_at = time_of(*claims, "exp");
  result.nats = *nats;
  return result;
}

Result<AuthorizationRequest> read_authorization_request(std::string_view jwt, Timestamp now) {
  TRY(const auto token, read_nats_jwt(jwt));
  if (token.type != "authorization_request") return refuse("The NATS JWT is not an authorization request.");
  if (token.audience != kRequestAudience) return refuse("The authorization request is for another audience.");
  if (!token.expires_at || *token.expires_at <= now)
    return refuse("The authorization request is too old to answer.");
  const auto* server = object_member(token.nats, "server_id");
  const auto* client = object_member(token.nats, "client_info");
  const auto* options = object_member(token.nats, "connect_opts");
  if (server == nullptr || client == nullptr || options == nullptr)
    return refuse("The authorization request lacks server_id, client_info or connect_opts.");

  AuthorizationRequest request;
  request.server_id = text_of(*server, "id");
  request.server_xkey = text_of(*server, "xkey");
  request.user_nkey = text_of(token.nats, "user_nkey");
  if (request.server_id != token.issuer)
    return refuse("The authorization request is not signed by its server.");
  if (!request.server_xkey.empty() && !is_public_key(request.server_xkey, KeyKind::curve))
    return refuse("The server's sealing key is malformed.");
  if (!is_public_key(request.user_nkey, KeyKind::user)) return refuse("The user nkey is malformed.");

  request.client_host = text_of(*client, "host");
  request.client_kind = text_of(*client, "type");
  request.nonce = text_of(*client, "nonce");
  request.user = text_of(*options, "user");
  request.pass = text_of(*options, "pass");
  request.auth_token = text_of(*options, "auth_token");
  request.jwt = text_of(*options, "jwt");
  request.nkey = text_of(*options, "nkey");
  request.signature = text_of(*options, "sig");
  request.name = text_of(*options, "name");
  return request;
}

bool AuthorizationRequest::proves_nkey() const {
  if (nonce.empty() || !is_public_key(nkey, KeyKind::user)) return false;
  // Client libraries send either alphabet, and the server takes both.
  auto raw = decode_base64url(signature);
  if (!raw) raw = decode_base64(signature);
  return raw && verify(nkey, nonce, *raw);
}

}  // namespace intra365::crypto
