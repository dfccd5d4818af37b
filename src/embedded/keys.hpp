// Every secret of an embedded platform, made once: complete or not at all, because the folder appears by one
// rename. Files have mode 0600; seeds that sign for ever lie in `root` and are never read again.
#pragma once
#include <string>

#include "embedded/errors.hpp"
#include "embedded/paths.hpp"

namespace intra365::embedded {

/// Public keys, kept together in `public.json`.
struct PublicKeys {
  std::string operator_, system, auth, platform, guest;       ///< identities
  std::string auth_signing, platform_signing, guest_signing;  ///< keys that sign for an account
  std::string callout_user;                                   ///< who answers the auth callout
  std::string callout_xkey;                                   ///< what callout requests are sealed for
  std::string sentinel_user;                                  ///< stands for connections without a JWT
};

/// Where services find what they need. All below `keys`.
struct KeyFiles {
  explicit KeyFiles(const Paths& paths) : keys(paths.keys()) {}
  std::filesystem::path keys;
  std::filesystem::path public_keys() const { return keys / "public.json"; }
  std::filesystem::path operator_jwt() const { return keys / "operator.jwt"; }
  std::filesystem::path operator_signing_seed() const { return keys / "operator-signing.seed"; }
  std::filesystem::path system_signing_seed() const { return keys / "system-signing.seed"; }
  std::filesystem::path auth_signing_seed() const { return keys / "auth-signing.seed"; }
  std::filesystem::path platform_signing_seed() const { return keys / "platform-signing.seed"; }
  std::filesystem::path guest_signing_seed() const { return keys / "guest-signing.seed"; }
  std::filesystem::path callout_xkey_seed() const { return keys / "callout-xkey.seed"; }
  std::filesystem::path system_creds() const { return keys / "system.creds"; }
  std::filesystem::path auth_creds() const { return keys / "auth.creds"; }
  std::filesystem::path platform_creds() const { return keys / "platform.creds"; }
  /// 32 random bytes in base64url: wraps secrets in the database.
  std::filesystem::path key_encryption_key() const { return keys / "key-encryption.key"; }
  std::filesystem::path jetstream_key() const { return keys / "jetstream.key"; }
  std::filesystem::path postgres_password(const std::string& role) const {
    return keys / ("postgres-" + role + ".password");
  }
};

/// What the embedder itself needs in memory.
struct Keys {
  PublicKeys public_keys;
  std::string operator_jwt;
  std::string operator_signing_seed;  ///< signs the accounts that nats-server starts with
  std::string system_signing_key;     ///< public
  std::string auth_signing_seed;      ///< signs the sentinel
  std::string jetstream_key;
  /// Of PostgreSQL's roles, [A-Za-z0-9].
  std::string admin_password, owner_password, service_password, replication_password;
};

/// Reads the keys, or makes them when the directory holds neither keys nor data. Fails with `data.keys_lost`
/// when data is there without its keys, or when a key's file is missing, damaged or open to others.
Result<Keys> load_or_make_keys(const Paths& paths);

}  // namespace intra365::embedded
