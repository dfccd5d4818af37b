// What signing in costs: every login mints one NATS JWT, every new token is verified once.
#include <benchmark/benchmark.h>

#include "crypto/jws_test_support.hpp"
#include "crypto/nats_jwt.hpp"

namespace intra365::crypto {
namespace {

const Timestamp kNow = from_unix_seconds(1800000000);
const std::string kClaims(400, 'c');

void nkey_sign(benchmark::State& state) {
  const Nkey key = Nkey::generate(KeyKind::account);
  for (auto _ : state) benchmark::DoNotOptimize(key.sign(kClaims));
}
BENCHMARK(nkey_sign);

void nkey_verify(benchmark::State& state) {
  const Nkey key = Nkey::generate(KeyKind::account);
  const std::string signature = key.sign(kClaims);
  for (auto _ : state) benchmark::DoNotOptimize(verify(key.public_key(), kClaims, signature));
}
BENCHMARK(nkey_verify);

UserClaims user_claims(const std::string& subject) {
  UserClaims claims{"mate-7", subject, std::nullopt, kNow + std::chrono::minutes(15)};
  claims.permissions =
      Permissions{{"intra365.>", "mate.mate-7.>"}, {"_INBOX_mate-7.>"}, 1, std::chrono::seconds(5)};
  return claims;
}

void mint_user_jwt(benchmark::State& state) {
  const Nkey account = Nkey::generate(KeyKind::account);
  const UserClaims claims = user_claims(Nkey::generate(KeyKind::user).public_key());
  for (auto _ : state) benchmark::DoNotOptimize(mint(claims, account, kNow));
}
BENCHMARK(mint_user_jwt);

void read_user_jwt(benchmark::State& state) {
  const Nkey account = Nkey::generate(KeyKind::account);
  const std::string token = mint(user_claims(Nkey::generate(KeyKind::user).public_key()), account, kNow);
  for (auto _ : state) benchmark::DoNotOptimize(read_nats_jwt(token));
}
BENCHMARK(read_user_jwt);

void xkey_seal_and_open(benchmark::State& state) {
  const Xkey own = Xkey::generate();
  const Xkey peer = Xkey::generate();
  const std::string message(1500, 'm');
  for (auto _ : state)
    benchmark::DoNotOptimize(peer.open(*own.seal(message, peer.public_key()), own.public_key()));
}
BENCHMARK(xkey_seal_and_open);

void jws_sign(benchmark::State& state) {
  const SigningKey key = SigningKey::generate();
  for (auto _ : state) benchmark::DoNotOptimize(key.sign("at+jwt", kClaims));
}
BENCHMARK(jws_sign);

const std::string kTokenClaims =
    R"({"iss":"https://intra365.example","aud":"intra365","sub":"mate-7","client_id":"mate-7","iat":1800000000,)"
    R"("exp":1800000900,"jti":"0190b0c2-aaaa-7bbb-8ccc-0123456789ab","tenant":"acme","roles":["mate","reader"]})";

void jws_verify_eddsa(benchmark::State& state) {
  const SigningKey key = SigningKey::generate();
  const KeySet keys = key_set({key.public_jwk()});
  const std::string token = key.sign("at+jwt", kTokenClaims);
  for (auto _ : state) benchmark::DoNotOptimize(keys.verify(token));
}
BENCHMARK(jws_verify_eddsa);

void jws_verify_foreign(benchmark::State& state, const ForeignKey& key, const std::string& algorithm) {
  const KeySet keys = key_set({key.jwk("k")});
  const std::string token = compact("{\"alg\":\"" + algorithm + "\",\"kid\":\"k\"}", kTokenClaims,
                                    [&](const std::string& text) { return key.sign(text); });
  for (auto _ : state) benchmark::DoNotOptimize(keys.verify(token));
}
BENCHMARK_CAPTURE(jws_verify_foreign, rs256, ForeignKey::rsa(), "RS256");
BENCHMARK_CAPTURE(jws_verify_foreign, es256, ForeignKey::p256(), "ES256");

}  // namespace
}  // namespace intra365::crypto
