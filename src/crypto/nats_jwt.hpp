// NATS JWT version 2: the claims that nats-server understands (operator, account, user, authorization
// response), minted and read. Field order and the `jti` rule follow the reference implementation.
#pragma once
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "base/error.hpp"
#include "base/time.hpp"
#include "crypto/nkey.hpp"

namespace intra365::errors {
inline constexpr ErrorCode bad_nats_jwt{
    ErrorKind::unauthenticated, "nats_jwt.invalid",
    "The NATS JWT is malformed, not trusted or not of the expected type."};
inline constexpr ErrorCode bad_creds{ErrorKind::invalid, "creds.malformed",
                                     "The text is not a NATS credentials file with a user JWT and its seed."};
}  // namespace intra365::errors

namespace intra365::crypto {

/// Subjects a connection may use. An empty list means nothing: it is written as `deny [">"]`, because the
/// server reads absent permissions as "everything".
struct Permissions {
  std::vector<std::string> publish;
  std::vector<std::string> subscribe;  ///< `"subject"` or `"subject queue"`
  /// Lets a responder answer a request it received, this many times, without a publish right. 0 = no.
  int reply_max = 0;
  std::chrono::nanoseconds reply_ttl{};
};

struct UserClaims {
  std::string name;                           ///< shown by the server as the user's name
  std::string subject;                        ///< the user's public nkey
  std::optional<std::string> issuer_account;  ///< set when the signer is a signing key of that account
  std::optional<Timestamp> expires_at;
  std::optional<Permissions> permissions;  ///< nullopt: unrestricted inside the account (platform services)
  bool bearer = false;                     ///< no proof of the nkey needed (sentinels)
  std::vector<std::string> tags;
  std::string
      audience;  ///< name of the target account, where the server runs in config mode; empty otherwise
};

struct ServiceExport {
  std::string name;
  std::string subject;
  unsigned account_token_position = 0;  ///< 1-based place of the importing account's key; 0 = none
  bool many_replies = false;            ///< the server passes every reply, not only the first
};
struct StreamExport {
  std::string name;
  std::string subject;
  unsigned account_token_position = 0;
};
struct Import {
  std::string name;
  std::string account;        ///< exporting account
  std::string subject;        ///< as exported, wildcards filled
  std::string local_subject;  ///< as the importing account sees it
  bool is_stream = false;
  bool share = false;  ///< hand the requester's connection info to the service
};

struct AccountClaims {
  std::string name;
  std::string subject;  ///< the account's public key
  std::vector<std::string> signing_keys;
  std::vector<ServiceExport> service_exports;
  std::vector<StreamExport> stream_exports;
  std::vector<Import> imports;
  bool jetstream = false;  ///< unlimited when true, none when false
  std::int64_t max_connections = -1;
  std::int64_t max_payload = -1;
  /// Auth callout of this account: who may connect without it, which accounts it may place users in.
  std::vector<std::string> callout_users;
  std::vector<std::string> callout_allowed_accounts;
  std::optional<std::string> callout_xkey;
  /// User JWTs issued at or before the time are void: by user nkey, or `*` for all of the account.
  std::map<std::string, Timestamp> revocations;
};

struct OperatorClaims {
  std::string name;
  std::string subject;
  std::vector<std::string> signing_keys;
  std::string system_account;
};

/// A token for the claims, issued at `now`. The signer is of the kind that the type demands (an operator key
/// for operators and accounts, an account key for users and responses); anything else is a bug.
std::string mint(const OperatorClaims& claims, const Nkey& signer, Timestamp now);
std::string mint(const AccountClaims& claims, const Nkey& signer, Timestamp now);
std::string mint(const UserClaims& claims, const Nkey& signer, Timestamp now);

/// A token of any type as it was read. It is genuine, but proves nothing until `issuer` is known to be
/// trusted.
struct NatsJwt {
  std::string type;  ///< user, account, operator, authorization_request, authorization_response, activation
  std::string issuer, subject, name, audience;
  std::optional<Timestamp> issued_at, expires_at;
  boost::json::object nats;  ///< the claims of the type
};
/// Reads a version 2 token of at most 1 MiB: form, algorithm, signature, and that an issuer of this kind may
/// sign this type. Times are the caller's business.
Result<NatsJwt> read_nats_jwt(std::string_view jwt);

/// What the server asks the callout service (ADR-26 as servers really send it).
struct AuthorizationRequest {
  std::string server_id;
  std::string server_xkey;  ///< empty when the server has none
  std::string user_nkey;    ///< fresh for each attempt; the answer's user JWT must be for it
  std::string client_host;
  std::string client_kind;  ///< nats, mqtt, websocket
  std::string nonce;        ///< only when the client signed it
  std::string user, pass, auth_token, jwt, nkey, signature, name;
  /// True when the client signed the server's nonce with `nkey`: it holds that key, whatever else it sent.
  bool proves_nkey() const;
};
/// Opens the claims after checking signature, issuer kind, audience and expiry.
Result<AuthorizationRequest> read_authorization_request(std::string_view jwt, Timestamp now);

/// The callout's answer: exactly one of `user_jwt` and `error`.
struct AuthorizationResponse {
  std::string user_nkey;
  std::string server_id;
  std::string user_jwt;
  std::string error;
  std::optional<std::string> issuer_account;
};
std::string mint(const AuthorizationResponse& response, const Nkey& signer, Timestamp now);

/// Credentials file text for a user JWT and its seed, and back.
std::string creds_file(std::string_view user_jwt, std::string_view seed);
struct Credentials {
  std::string jwt;
  std::string seed;
};
/// Reads a credentials file of at most 1 MiB, with either kind of line end. The seed is that of a user key.
/// Fails with `creds.malformed`.
Result<Credentials> parse_creds_file(std::string_view text);

}  // namespace intra365::crypto
