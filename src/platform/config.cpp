#include "platform/config.hpp"

#include <sys/stat.h>
#include <yaml-cpp/yaml.h>

#include <fstream>
#include <functional>
#include <map>
#include <sstream>

#include "crypto/encoding.hpp"
#include "postgres/conninfo.hpp"

namespace intra365::platform {
namespace {

using Reader = std::function<void(const YAML::Node&)>;

template <class T>
Reader into(T& target) {
  return [&target](const YAML::Node& node) { target = node.as<T>(); };
}

Reader seconds_into(std::chrono::seconds& target) {
  return [&target](const YAML::Node& node) { target = std::chrono::seconds(node.as<std::int64_t>()); };
}

/// A section is a map whose every key has a reader: a misspelt key must not silently mean the default.
Reader section(std::string path, std::map<std::string, Reader> readers) {
  return [path = std::move(path), readers = std::move(readers)](const YAML::Node& node) {
    if (!node.IsMap()) throw YAML::RepresentationException(node.Mark(), "'" + path + "' must be a map");
    for (const auto& item : node) {
      const auto key = item.first.as<std::string>();
      const auto reader = readers.find(key);
      if (reader == readers.end())
        throw YAML::RepresentationException(item.first.Mark(), "unknown key '" + path + key + "'");
      reader->second(item.second);
    }
  };
}

Reader document(Config& config) {
  auto& [nats, postgres, keys, gateway, tokens, roles, admin_key_file, version] = config;
  return section(
      "",
      {
          {"nats", section("nats.", {{"urls", into(nats.urls)},
                                     {"caFile", into(nats.ca_file)},
                                     {"platformCredsFile", into(nats.platform_creds_file)},
                                     {"authCredsFile", into(nats.auth_creds_file)},
                                     {"systemCredsFile", into(nats.system_creds_file)}})},
          {"postgres", section("postgres.", {{"ownerDsn", into(postgres.owner_dsn)},
                                             {"replicationDsn", into(postgres.replication_dsn)},
                                             {"serviceDsn", into(postgres.service_dsn)},
                                             {"replicaDsns", into(postgres.replica_dsns)},
                                             {"maxConnections", into(postgres.max_connections)},
                                             {"prepare", into(postgres.prepare)},
                                             {"direct", into(postgres.direct)}})},
          {"keys", section("keys.", {{"operatorSigningSeedFile", into(keys.operator_signing_seed_file)},
                                     {"authAccount", into(keys.auth_account)},
                                     {"authAccountSeedFile", into(keys.auth_account_seed_file)},
                                     {"calloutXkeySeedFile", into(keys.callout_xkey_seed_file)},
                                     {"platformAccount", into(keys.platform_account)},
                                     {"keyEncryptionKeyFile", into(keys.key_encryption_key_file)}})},
          {"gateway", section("gateway.", {{"host", into(gateway.host)},
                                           {"port", into(gateway.port)},
                                           {"certificateFile", into(gateway.certificate_file)},
                                           {"keyFile", into(gateway.key_file)},
                                           {"assetsDir", into(gateway.assets_dir)}})},
          {"tokens", section("tokens.", {{"issuer", into(tokens.issuer)},
                                         {"accessLifetimeSeconds", seconds_into(tokens.access_lifetime)},
                                         {"refreshLifetimeSeconds", seconds_into(tokens.refresh_lifetime)}})},
          {"roles", into(roles)},
          {"adminKeyFile", into(admin_key_file)},
      });
}

/// What travels to a database on another machine is sealed on the way, and the database has to prove itself.
Result<void> check_database(const std::string& key, const std::string& dsn) {
  if (dsn.empty()) return {};
  const auto target = postgres::parse_dsn(dsn);
  if (!target) return fail(errors::bad_config, "postgres." + key + ": this is no connection string");
  if (target->stays_on_this_machine()) return {};
  const auto* mode = target->find("sslmode");
  if (mode && (*mode == "verify-full" || *mode == "verify-ca")) return {};
  return fail(errors::bad_config, "postgres." + key +
                                      ": the server is on another machine, so sslmode must be verify-full "
                                      "(the default) or verify-ca, with its authority as sslrootcert");
}

Result<void> check(const Config& config) {
  const auto& postgres = config.postgres;
  CHECK(check_database("ownerDsn", postgres.owner_dsn));
  CHECK(check_database("replicationDsn", postgres.replication_dsn));
  CHECK(check_database("serviceDsn", postgres.service_dsn));
  for (const auto& dsn : postgres.replica_dsns) CHECK(check_database("replicaDsns", dsn));
  return {};
}

}  // namespace

Result<Config> read_config(const std::string& file) {
  try {
    Config config;
    document(config)(YAML::LoadFile(file));
    if (const auto usable = check(config); !usable)
      return fail(errors::bad_config, file + ": " + usable.error().detail);
    return config;
  } catch (const YAML::Exception& exception) {
    return fail(errors::bad_config, file + ": " + exception.what());
  }
}

Result<std::string> read_secret(const std::string& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0 || (status.st_mode & 077) != 0)
    return fail(errors::bad_secret_file, file);
  std::ifstream stream(file, std::ios::binary);
  std::ostringstream content;
  content << stream.rdbuf();
  auto text = content.str();
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  if (text.empty()) return fail(errors::bad_secret_file, file);
  return text;
}

Result<std::string> read_key(const std::string& file) {
  TRY(const auto text, read_secret(file));
  auto key = crypto::decode_base64url(text);
  if (!key || key->size() != 32) return fail(errors::bad_secret_file, file);
  return *std::move(key);
}

}  // namespace intra365::platform
