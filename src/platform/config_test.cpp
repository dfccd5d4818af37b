// The YAML of `intra365 serve`: what is refused before anything starts.
#include "platform/config.hpp"

#include <gtest/gtest.h>

#include "tests/support/process.hpp"

namespace intra365::platform {
namespace {

Result<Config> read(const std::string& yaml) {
  const testing::TempDir dir;
  const auto file = dir.path() / "serve.yaml";
  testing::write_file(file, yaml);
  return read_config(file.string());
}

std::string refusal(const std::string& yaml) {
  const auto config = read(yaml);
  return config ? "" : config.error().detail;
}

TEST(Config, says_what_it_was_told) {
  const auto config = read(
      "nats: {urls: ['tls://nats:4222'], caFile: /etc/ca.pem}\n"
      "postgres: {serviceDsn: 'postgresql://s@127.0.0.1/d', maxConnections: 3, prepare: false}\n"
      "tokens: {accessLifetimeSeconds: 60}\nroles: [consent]\n");
  ASSERT_TRUE(config) << config.error().detail;
  EXPECT_EQ(config->nats.urls, std::vector<std::string>{"tls://nats:4222"});
  EXPECT_EQ(config->postgres.max_connections, 3u);
  EXPECT_FALSE(config->postgres.prepare);
  EXPECT_EQ(config->tokens.access_lifetime, std::chrono::seconds(60));
  EXPECT_EQ(config->roles, std::vector<std::string>{"consent"});
}

TEST(Config, unknown_and_mistyped_keys_are_named) {
  EXPECT_NE(refusal("postgres: {serviceDNS: x}\n").find("postgres.serviceDNS"), std::string::npos);
  EXPECT_NE(refusal("postgres: [x]\n").find("'postgres.' must be a map"), std::string::npos);
  EXPECT_NE(refusal("postgres: {maxConnections: many}\n"), "");
  EXPECT_NE(refusal(": {"), "");
}

TEST(Config, a_database_on_another_machine_must_prove_itself) {
  for (const auto* key : {"ownerDsn", "serviceDsn", "replicationDsn"}) {
    const auto with = [&](const std::string& mode) {
      return refusal("postgres: {" + std::string(key) + ": 'postgresql://s:secret@db/d" + mode + "'}\n");
    };
    EXPECT_EQ(with(""), "") << "verify-full is the default";
    EXPECT_EQ(with("?sslmode=verify-ca"), "");
    for (const auto* weak : {"?sslmode=disable", "?sslmode=prefer", "?sslmode=require"}) {
      const auto said = with(weak);
      EXPECT_NE(said.find(std::string("postgres.") + key), std::string::npos) << said;
      EXPECT_EQ(said.find("secret"), std::string::npos) << said;
    }
  }
  EXPECT_NE(refusal("postgres: {replicaDsns: ['postgresql://s@db/d?sslmode=disable']}\n"), "");
  EXPECT_EQ(refusal("postgres: {serviceDsn: 'postgresql://s@localhost/d?sslmode=disable'}\n"), "");
  EXPECT_NE(refusal("postgres: {serviceDsn: 'postgresql://s@db/d?nonsense=1'}\n"), "");
}

}  // namespace
}  // namespace intra365::platform
