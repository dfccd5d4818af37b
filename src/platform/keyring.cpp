#include "platform/keyring.hpp"

#include <boost/describe.hpp>

namespace intra365::platform {
namespace {

constexpr postgres::Query signing_keys{
    "auth_signing_keys",
    "select kid, seed, public_jwk, state from intra365.signing_keys where use = $1 order by created_at"};
// Two instances that start together both try; the index on the active state lets one of them in.
constexpr postgres::Query signing_key_insert{
    "auth_signing_key_insert",
    "insert into intra365.signing_keys (kid, seed, public_jwk, state, use) values ($1, $2::bytea, $3::jsonb, "
    "'active', $4) on conflict do nothing"};

struct SigningKeyRow {
  std::string kid;
  postgres::Bytes seed;
  boost::json::value public_jwk;
  std::string state;
};
BOOST_DESCRIBE_STRUCT(SigningKeyRow, (), (kid, seed, public_jwk, state))

std::string name_of(KeyUse use) {
  return use == KeyUse::token ? "token" : "attestation";
}

std::string row_context(std::string_view kid) {
  return "signing_keys/" + std::string(kid);
}

}  // namespace

Task<> Keyring::start(SteadyTime deadline) {
  CO_CHECK(co_await load(deadline));
  if (active_) co_return Result<void>{};
  CO_CHECK(co_await create(deadline));
  co_return co_await load(deadline);
}

Task<> Keyring::load(SteadyTime deadline) {
  postgres::Scope platform_wide;
  CO_TRY(const auto rows,
         co_await database_.query(platform_wide, signing_keys, postgres::bind(name_of(use_)), deadline));
  CO_TRY(const auto keys, rows.as<SigningKeyRow>());
  boost::json::array published;
  for (const auto& key : keys) {
    published.push_back(key.public_jwk);
    if (key.state != "active") continue;
    CO_TRY(const auto seed, envelope_.open(key.seed.value, row_context(key.kid)));
    CO_TRY(active_, crypto::SigningKey::from_seed(seed));
  }
  jwks_ = boost::json::object{{"keys", std::move(published)}};
  co_return Result<void>{};
}

Task<> Keyring::create(SteadyTime deadline) {
  const auto key = crypto::SigningKey::generate();
  const postgres::Bytes sealed{envelope_.seal(key.seed(), row_context(key.kid()))};
  auto parameters = postgres::bind(key.kid(), sealed, key.public_jwk(), name_of(use_));
  postgres::Scope platform_wide;
  CO_CHECK(co_await database_.query(platform_wide, signing_key_insert, std::move(parameters), deadline));
  co_return Result<void>{};
}

}  // namespace intra365::platform
