// What a platform process needs to know to run its services: where NATS and PostgreSQL are, with which
// credentials, and which limits hold. `intra365 up` fills it in; `intra365 serve` reads it from YAML.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.hpp"

namespace intra365::platform {

/// Files hold the secrets; the configuration only says where they are. Each file has mode 0600.
struct Config {
  struct Nats {
    std::vector<std::string> urls;
    std::string ca_file;
    std::string platform_creds_file;  ///< user of the PLATFORM account: all services
    std::string auth_creds_file;      ///< the only user of the AUTH account: the auth callout (STS only)
    std::string system_creds_file;    ///< user of the SYS account: tenants and disconnects (STS only)
  } nats;

  struct Postgres {
    std::string owner_dsn;        ///< migrations; empty where somebody else migrates
    std::string replication_dsn;  ///< role with REPLICATION, straight to PostgreSQL (events only)
    std::string service_dsn;      ///< role without the right to bypass row-level security
    /// Hot standbys, each with the service role: they answer reads that are declared for it, where new
    /// enough.
    std::vector<std::string> replica_dsns;
    std::size_t max_connections = 16;
    bool prepare = true;  ///< off behind a PgBouncer below 1.21
    /// Nobody between us and PostgreSQL lends connections to others: the tenant is sent only where it
    /// changes.
    bool direct = false;
  } postgres;

  struct Keys {
    std::string operator_signing_seed_file;  ///< signs tenants' accounts (STS only)
    std::string auth_account;                ///< public key of the account that answers the auth callout
    std::string auth_account_seed_file;      ///< its signing key: signs those answers (STS only)
    std::string callout_xkey_seed_file;      ///< opens sealed callout requests (STS only)
    std::string platform_account;            ///< public key
    std::string key_encryption_key_file;     ///< 32 bytes; wraps secrets in the database
  } keys;

  struct Gateway {
    std::string host = "127.0.0.1";
    std::uint16_t port = 8365;
    std::string certificate_file, key_file;  ///< required where the host is not loopback
    std::string assets_dir;                  ///< Swagger UI
  } gateway;

  struct Tokens {
    std::string issuer = "https://intra365.local";
    std::chrono::seconds access_lifetime{900};
    std::chrono::seconds refresh_lifetime{std::chrono::hours(24 * 30)};
  } tokens;

  std::vector<std::string> roles;  ///< services to run; empty: all
  std::string admin_key_file;      ///< where the first start writes the `default` operator's API key
  std::string version;
};

/// Reads the YAML of `intra365 serve --config`; unknown keys are refused, naming them.
Result<Config> read_config(const std::string& file);

/// The content of a secret's file, without the line end. Fails when it cannot be read, or others can read it.
Result<std::string> read_secret(const std::string& file);
/// The same for a key of 32 bytes in base64url; returns the bytes.
Result<std::string> read_key(const std::string& file);

namespace errors {
inline constexpr ErrorCode bad_config{ErrorKind::invalid, "config.invalid",
                                      "The configuration cannot be used; the message says where."};
inline constexpr ErrorCode bad_secret_file{
    ErrorKind::invalid, "config.secret_file",
    "A secret's file is missing, empty or readable by others (it needs mode 0600)."};
}  // namespace errors

}  // namespace intra365::platform
