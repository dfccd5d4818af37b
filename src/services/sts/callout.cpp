#include "services/sts/callout.hpp"

#include <random>

#include "contract/errors.hpp"
#include "crypto/encoding.hpp"
#include "replica/token_replica.hpp"

namespace intra365::services::sts {
namespace {

/// Below the server's own limit (5 s): a late answer would be thrown away.
constexpr auto kAnswerWithin = std::chrono::milliseconds(3000);
constexpr auto kGuestStay = std::chrono::seconds(30);
/// How long a connection with an API key stays up before it has to prove itself again.
constexpr auto kKeyConnection = std::chrono::hours(1);
constexpr auto kReplyTime = std::chrono::minutes(5);

/// Spreads reconnects by a tenth, so that what connected together does not come back together.
std::chrono::seconds with_jitter(std::chrono::seconds duration) {
  thread_local std::minstd_rand generator{std::random_device{}()};
  return duration - std::chrono::seconds(
                        std::uniform_int_distribution<std::int64_t>(0, duration.count() / 10)(generator));
}

/// A signature that comes along must be one of this connection's nonce; one that is demanded must come.
Result<void> check_nonce(const crypto::AuthorizationRequest& request, const std::string& bound_nkey) {
  if (request.signature.empty()) return bound_nkey.empty() ? Result<void>{} : fail(errors::nkey_required);
  const auto signature = crypto::decode_base64url(request.signature);
  if (request.nkey.empty() || request.nonce.empty() || !signature) return fail(errors::bad_nonce);
  if (!bound_nkey.empty() && bound_nkey != request.nkey) return fail(errors::nkey_required);
  if (!crypto::is_public_key(request.nkey, crypto::KeyKind::user) ||
      !crypto::verify(request.nkey, request.nonce, *signature))
    return fail(errors::bad_nonce);
  return {};
}

bool is_guest(const crypto::AuthorizationRequest& request) {
  return request.user.empty() && request.pass.empty() && request.auth_token.empty();
}

}  // namespace

Callout::Callout(platform::Environment& environment, Store& store, Accounts& accounts, nats::Connection& auth,
                 crypto::Nkey auth_account, crypto::Xkey xkey)
    : environment_(environment),
      store_(store),
      accounts_(accounts),
      auth_(auth),
      auth_account_(std::move(auth_account)),
      xkey_(std::move(xkey)) {}

Task<> Callout::start() {
  auto subscription = auth_.subscribe(
      "$SYS.REQ.USER.AUTH",
      [this](const nats::MessageView& message) {
        // At the limit we stay silent: the server refuses the connection when its time is over.
        static_cast<void>(environment_.tasks.spawn(answer(nats::Message(message))));
      },
      "intra365-sts");
  if (!subscription) co_return fail(std::move(subscription).error());
  subscription_ = *std::move(subscription);
  co_return Result<void>{};
}

void Callout::stop() {
  subscription_.unsubscribe();
}

Task<> Callout::answer(nats::Message message) {
  const auto deadline = std::chrono::steady_clock::now() + kAnswerWithin;
  const std::string server_xkey(message.headers().get("Nats-Server-Xkey"));
  std::string body(message.payload());
  if (!server_xkey.empty()) {
    CO_TRY(body, xkey_.open(body, server_xkey));
  }
  CO_TRY(const auto request, crypto::read_authorization_request(body, environment_.clock.now()));
  if (request.server_xkey != server_xkey) co_return fail(intra365::errors::bad_seal);

  const auto user_jwt = co_await decide(request, deadline);
  crypto::AuthorizationResponse response;
  response.user_nkey = request.user_nkey;
  response.server_id = request.server_id;
  response.issuer_account = environment_.config.keys.auth_account;
  if (user_jwt)
    response.user_jwt = *user_jwt;
  else
    response.error = user_jwt.error().code;  // reaches the server's log only, never the client
  auto reply = crypto::mint(response, auth_account_, environment_.clock.now());
  if (!server_xkey.empty()) {
    CO_TRY(reply, xkey_.seal(reply, server_xkey));
  }
  co_return auth_.publish(message.reply(), reply);
}

Task<std::string> Callout::decide(crypto::AuthorizationRequest request, SteadyTime deadline) {
  const auto now = environment_.clock.now();
  crypto::UserClaims claims;
  claims.subject = request.user_nkey;

  if (is_guest(request)) {
    CO_TRY(const auto room, accounts_.admit_guest());
    const auto allowed = guest_permissions();
    claims.name = "guest";
    claims.expires_at = now + kGuestStay;
    claims.issuer_account = room.account;
    claims.permissions = crypto::Permissions{allowed.publish, allowed.subscribe, 0, {}};
    co_return crypto::mint(claims, room.signing_key, now);
  }

  const auto principal = co_await authenticate(request, deadline);
  audit(request, principal ? &*principal : nullptr, principal ? nullptr : &principal.error());
  if (!principal) co_return fail(principal.error());
  CO_TRY(const auto account, co_await accounts_.find(principal->tenant, deadline));

  const auto allowed = subject_permissions(principal->kind, principal->id, principal->roles);
  claims.name = principal->subject();
  claims.issuer_account = account.account;
  claims.expires_at = now + with_jitter(kKeyConnection);
  if (principal->expires_at) claims.expires_at = std::min(*claims.expires_at, *principal->expires_at);
  claims.permissions = crypto::Permissions{allowed.publish, allowed.subscribe, allowed.reply_max, kReplyTime};
  co_return crypto::mint(claims, account.signing_key, now);
}

Task<Principal> Callout::authenticate(crypto::AuthorizationRequest request, SteadyTime deadline) {
  if (request.user == "api-key") {
    CO_TRY(const auto key, ApiKeyText::parse(request.pass));
    CO_TRY(auto principal, co_await store_.find_by_key(key, environment_.clock.now(), deadline));
    CO_CHECK(check_nonce(request, principal.nkey));
    co_return principal;
  }
  if (request.user == "token") {
    // Whoever was away with us comes back with us: a login waits for the lease rather than fail.
    CO_TRY(const auto identity, co_await environment_.tokens.verify(request.pass, deadline));
    Principal principal{identity.tenant, {}, identity.kind,      identity.id, identity.roles, identity.scopes,
                        identity.key_id, {}, identity.expires_at};
    CO_CHECK(check_nonce(request, {}));
    co_return principal;
  }
  co_return fail(errors::bad_provider);
}

void Callout::audit(const crypto::AuthorizationRequest& request, const Principal* principal,
                    const Error* error) {
  platform::AuditRecord record;
  record.tenant = principal == nullptr ? TenantId::trusted("platform") : principal->tenant;
  record.entry.entry_id = new_uuid();
  record.entry.at = environment_.clock.now();
  record.entry.source = "platform";
  record.entry.actor = principal == nullptr ? "guest" : principal->subject();
  record.entry.action = "auth.connect";
  record.entry.resource = "nats:" + (request.client_kind.empty() ? std::string("nats") : request.client_kind);
  record.entry.outcome = error == nullptr ? "allowed" : "denied";
  if (error != nullptr) record.entry.code = error->code;
  std::vector<platform::AuditRecord> records;
  records.push_back(std::move(record));
  // A full audit queue already refuses every operation; a connection that can do nothing may come in.
  static_cast<void>(environment_.audit.record(std::move(records)));
}

}  // namespace intra365::services::sts
