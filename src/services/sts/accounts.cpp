#include "services/sts/accounts.hpp"

#include "contract/subjects.hpp"
#include "crypto/encoding.hpp"
#include "platform/accounts.hpp"
#include "services/sts/model.hpp"

namespace intra365::services::sts {
namespace {

constexpr postgres::Query tenant_insert{"auth_tenant_insert",
                                        "insert into intra365.tenants (tenant_id, account, account_seed, "
                                        "signing_seed) values ($1, $2, $3::bytea, $4::bytea)"};
constexpr postgres::Query tenant_seeds{
    "auth_tenant_seeds",
    "select tenant_id, account, account_seed, signing_seed from intra365.tenants order by tenant_id"};

struct TenantSeedRow {
  std::string tenant_id, account;
  postgres::Bytes account_seed, signing_seed;
};
BOOST_DESCRIBE_STRUCT(TenantSeedRow, (), (tenant_id, account, account_seed, signing_seed))

/// As many guests as may log in at once; each needs a room for a few milliseconds.
constexpr std::size_t kGuestRooms = 64;
/// A guest that stays longer than this is sent away by the expiry of its user JWT.
constexpr auto kGuestStay = std::chrono::seconds(30);
/// A reply under way to the guest before must not reach the next one: no request of a guest lives longer.
constexpr auto kAiring = std::chrono::seconds(5);

constexpr std::string_view kDisconnectPrefix = "$SYS.ACCOUNT.";
constexpr std::string_view kDisconnectSuffix = ".DISCONNECT";

std::string row_context(const TenantId& tenant, std::string_view column) {
  return "tenants/" + tenant.str() + "/" + std::string(column);
}

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

crypto::AccountClaims claims_of(const TenantId& tenant, const std::string& account,
                                const std::string& signing_key, const std::string& platform_key) {
  auto claims = platform::tenant_account(tenant.str(), account, signing_key, platform_key);
  if (tenant.str() == "default") claims.imports.push_back(platform::discovery_import(platform_key));
  return claims;
}

struct UpdateStatus {
  std::int64_t code = 0;
};
BOOST_DESCRIBE_STRUCT(UpdateStatus, (), (code))
struct UpdateReply {
  UpdateStatus data;
};
BOOST_DESCRIBE_STRUCT(UpdateReply, (), (data))

}  // namespace

Accounts::Accounts(platform::Environment& environment, const crypto::Envelope& envelope,
                   crypto::Nkey operator_key, std::string guest_secret, nats::Connection& system)
    : environment_(environment),
      envelope_(envelope),
      operator_key_(std::move(operator_key)),
      guest_secret_(std::move(guest_secret)),
      system_(system) {}

Task<> Accounts::start(SteadyTime deadline) {
  postgres::Scope platform_wide;
  CO_TRY(const auto rows,
         co_await environment_.database.query(platform_wide, tenant_seeds, postgres::bind(), deadline));
  CO_TRY(const auto tenants, rows.as<TenantSeedRow>());
  for (const auto& row : tenants) {
    const auto tenant = TenantId::trusted(row.tenant_id);
    CO_TRY(const auto seed, envelope_.open(row.signing_seed.value, row_context(tenant, "signing_seed")));
    CO_TRY(auto signing_key, crypto::Nkey::from_seed(seed));
    const auto claims =
        claims_of(tenant, row.account, signing_key.public_key(), environment_.config.keys.platform_account);
    CO_CHECK(co_await push(crypto::mint(claims, operator_key_, environment_.clock.now()), deadline));
    environment_.tenants.add(tenant, row.account);
    known_.insert_or_assign(tenant, TenantAccount{tenant, row.account, std::move(signing_key)});
  }
  co_return co_await push_guest_rooms(deadline);
}

Task<TenantAccount> Accounts::create(TenantId tenant, SteadyTime deadline) {
  const auto account = crypto::Nkey::generate(crypto::KeyKind::account);
  auto signing_key = crypto::Nkey::generate(crypto::KeyKind::account);
  const postgres::Bytes account_seed{envelope_.seal(account.seed(), row_context(tenant, "account_seed"))};
  const postgres::Bytes signing_seed{envelope_.seal(signing_key.seed(), row_context(tenant, "signing_seed"))};
  auto parameters = postgres::bind(tenant, account.public_key(), account_seed, signing_seed);
  postgres::Scope platform_wide;
  const auto inserted =
      co_await environment_.database.query(platform_wide, tenant_insert, std::move(parameters), deadline);
  if (!inserted && inserted.error().is(postgres::errors::unique_violation))
    co_return fail(errors::name_taken, "'" + tenant.str() + "' is taken");
  if (!inserted) co_return fail(inserted.error());

  const auto claims = claims_of(tenant, account.public_key(), signing_key.public_key(),
                                environment_.config.keys.platform_account);
  CO_CHECK(co_await push(crypto::mint(claims, operator_key_, environment_.clock.now()), deadline));
  environment_.tenants.add(tenant, account.public_key());
  TenantAccount made{tenant, account.public_key(), std::move(signing_key)};
  known_.insert_or_assign(tenant, made);
  co_return made;
}

Task<TenantAccount> Accounts::find(TenantId tenant, SteadyTime deadline) {
  if (const auto known = known_.find(tenant); known != known_.end()) co_return known->second;
  // Made by another instance since we started: take over what is new.
  CO_CHECK(co_await start(deadline));
  if (const auto known = known_.find(tenant); known != known_.end()) co_return known->second;
  co_return fail(platform::errors::unknown_tenant);
}

Task<> Accounts::push(std::string account_jwt, SteadyTime deadline) {
  const nats::HeaderBlock no_headers;
  CO_TRY(const auto reply,
         co_await system_.request("$SYS.REQ.CLAIMS.UPDATE", account_jwt, no_headers, deadline));
  const auto status = json::decode<UpdateReply>(reply.payload(), json::Unknown::ignore);
  if (!status || status->data.code != 200)
    co_return fail(nats::errors::refused, "the NATS server did not take an account");
  co_return Result<void>{};
}

Task<> Accounts::push_guest_rooms(SteadyTime deadline) {
  if (!rooms_.empty()) co_return Result<void>{};
  for (std::size_t i = 0; i < kGuestRooms; ++i) {
    // Derived, not stored: the same rooms after every start, so that no stale accounts pile up in the
    // servers.
    const auto derive = [&](std::string_view use) {
      const auto bytes =
          crypto::hmac_sha256(guest_secret_, "guest-room/" + std::to_string(i) + "/" + std::string(use));
      return crypto::Nkey::from_raw(crypto::KeyKind::account, bytes);
    };
    Room room{derive("account"), derive("signing"), {}};
    auto claims =
        platform::guest_account("guest-" + std::to_string(i), room.account.public_key(),
                                room.signing_key.public_key(), environment_.config.keys.platform_account);
    claims.max_connections = 1;
    CO_CHECK(co_await push(crypto::mint(claims, operator_key_, environment_.clock.now()), deadline));
    rooms_.push_back(std::move(room));
  }
  auto subscription = system_.subscribe("$SYS.ACCOUNT.*.DISCONNECT",
                                        [this](const nats::MessageView& event) { on_disconnect(event); });
  if (!subscription) co_return fail(std::move(subscription).error());
  disconnects_ = *std::move(subscription);
  co_return Result<void>{};
}

Result<TenantAccount> Accounts::admit_guest() {
  for (std::size_t tried = 0; tried < rooms_.size(); ++tried) {
    auto& room = rooms_[next_room_++ % rooms_.size()];
    if (room.free_at > now()) continue;
    room.free_at = now() + kGuestStay + kAiring;
    return TenantAccount{TenantId(), room.account.public_key(), room.signing_key};
  }
  return fail(errors::guests_full);
}

void Accounts::on_disconnect(const nats::MessageView& event) {
  auto account = event.subject;
  account.remove_prefix(kDisconnectPrefix.size());
  account.remove_suffix(kDisconnectSuffix.size());
  const auto room = std::ranges::find_if(
      rooms_, [&](const Room& candidate) { return candidate.account.public_key() == account; });
  if (room != rooms_.end()) room->free_at = std::min(room->free_at, now() + kAiring);
}

}  // namespace intra365::services::sts
