#include "embedded/keys.hpp"

#include <sys/stat.h>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "crypto/encoding.hpp"
#include "crypto/nats_jwt.hpp"
#include "embedded/file.hpp"
#include "json/json.hpp"

namespace intra365::embedded {

BOOST_DESCRIBE_STRUCT(PublicKeys, (),
                      (operator_, system, auth, platform, guest, auth_signing, platform_signing,
                       guest_signing, callout_user, callout_xkey, sentinel_user))

namespace {

using crypto::KeyKind;
using crypto::Nkey;

/// An account's identity, which only ever signs nothing, and the key that signs its users.
struct AccountKeys {
  Nkey root = Nkey::generate(KeyKind::account);
  Nkey signing = Nkey::generate(KeyKind::account);
};

std::string direct_user(const std::string& name, const AccountKeys& account, const Nkey& user,
                        Timestamp now) {
  crypto::UserClaims claims;
  claims.name = name;
  claims.subject = user.public_key();
  claims.issuer_account = account.root.public_key();
  return crypto::creds_file(crypto::mint(claims, account.signing, now), user.seed());
}

Result<void> make_keys(const Paths& paths) {
  const auto aside = paths.data / "keys.new";
  std::error_code error;
  fs::remove_all(aside, error);
  CHECK(make_directory(aside));
  CHECK(make_directory(aside / "root"));

  const auto now = system_clock().now();
  const auto operator_root = Nkey::generate(KeyKind::operator_),
             operator_signing = Nkey::generate(KeyKind::operator_);
  const AccountKeys system, auth, platform, guest;
  const auto callout_user = Nkey::generate(KeyKind::user);
  const auto callout_xkey = crypto::Xkey::generate();
  const crypto::OperatorClaims operator_claims{
      "intra365", operator_root.public_key(), {operator_signing.public_key()}, system.root.public_key()};
  const PublicKeys public_keys{operator_root.public_key(),
                               system.root.public_key(),
                               auth.root.public_key(),
                               platform.root.public_key(),
                               guest.root.public_key(),
                               auth.signing.public_key(),
                               platform.signing.public_key(),
                               guest.signing.public_key(),
                               callout_user.public_key(),
                               callout_xkey.public_key(),
                               Nkey::generate(KeyKind::user).public_key()};

  auto files = KeyFiles(paths);
  files.keys = aside;
  const std::pair<fs::path, std::string> contents[] = {
      {aside / "root/operator.seed", operator_root.seed()},
      {aside / "root/system.seed", system.root.seed()},
      {aside / "root/auth.seed", auth.root.seed()},
      {aside / "root/platform.seed", platform.root.seed()},
      {aside / "root/guest.seed", guest.root.seed()},
      {files.public_keys(), json::encode(public_keys)},
      {files.operator_jwt(), crypto::mint(operator_claims, operator_root, now)},
      {files.operator_signing_seed(), operator_signing.seed()},
      {files.system_signing_seed(), system.signing.seed()},
      {files.auth_signing_seed(), auth.signing.seed()},
      {files.platform_signing_seed(), platform.signing.seed()},
      {files.guest_signing_seed(), guest.signing.seed()},
      {files.callout_xkey_seed(), callout_xkey.seed()},
      {files.system_creds(), direct_user("intra365-system", system, Nkey::generate(KeyKind::user), now)},
      {files.auth_creds(), direct_user("intra365-callout", auth, callout_user, now)},
      {files.platform_creds(),
       direct_user("intra365-services", platform, Nkey::generate(KeyKind::user), now)},
      {files.key_encryption_key(), crypto::base64url(random_bytes(32))},
      // Begins with a letter, because the server reads the variable as a value of its configuration language.
      {files.jetstream_key(), "k" + random_token(47)},
      {files.postgres_password("admin"), random_token(32)},
      {files.postgres_password("owner"), random_token(32)},
      {files.postgres_password("service"), random_token(32)},
      {files.postgres_password("replication"), random_token(32)},
  };
  for (const auto& [path, content] : contents) CHECK(write_file(path, content + "\n"));
  return rename_durably(aside, paths.keys());
}

/// A secret's content without the line end.
Result<std::string> read_key(const fs::path& path) {
  struct stat status {};
  auto text = read_file(path);
  if (!text || ::stat(path.c_str(), &status) != 0)
    return fail(errors::data_keys_lost,
                path.string() + " cannot be read. " + std::string(errors::data_keys_lost.meaning));
  if ((status.st_mode & 077) != 0)
    return fail(errors::data_keys_lost,
                path.string() + " can be read by others: give it mode 0600, and think of it as known.");
  while (text->ends_with('\n')) text->pop_back();
  if (text->empty())
    return fail(errors::data_keys_lost,
                path.string() + " is empty. " + std::string(errors::data_keys_lost.meaning));
  return text;
}

Result<Keys> load_keys(const KeyFiles& files) {
  Keys keys;
  TRY(const auto public_text, read_key(files.public_keys()));
  auto public_keys = json::decode<PublicKeys>(public_text, json::Unknown::ignore);
  if (!public_keys)
    return fail(errors::data_keys_lost,
                files.public_keys().string() + " is damaged. " + std::string(errors::data_keys_lost.meaning));
  keys.public_keys = *std::move(public_keys);
  TRY(const auto system_seed, read_key(files.system_signing_seed()));
  TRY(const auto system_signing, Nkey::from_seed(system_seed));
  keys.system_signing_key = system_signing.public_key();
  const std::pair<std::string*, fs::path> contents[] = {
      {&keys.operator_jwt, files.operator_jwt()},
      {&keys.operator_signing_seed, files.operator_signing_seed()},
      {&keys.auth_signing_seed, files.auth_signing_seed()},
      {&keys.jetstream_key, files.jetstream_key()},
      {&keys.admin_password, files.postgres_password("admin")},
      {&keys.owner_password, files.postgres_password("owner")},
      {&keys.service_password, files.postgres_password("service")},
  };
  for (const auto& [target, path] : contents) {
    TRY(*target, read_key(path));
  }
  // Younger than the first data directories; its role is made with it, so nothing is lost where it is
  // missing.
  const auto replication = files.postgres_password("replication");
  std::error_code error;
  if (!fs::exists(replication, error)) CHECK(write_file(replication, random_token(32) + "\n"));
  TRY(keys.replication_password, read_key(replication));
  // What only services read must be there, too: better said now than by a service that cannot start.
  for (const auto& path :
       {files.callout_xkey_seed(), files.system_creds(), files.auth_creds(), files.platform_creds(),
        files.key_encryption_key(), files.platform_signing_seed(), files.guest_signing_seed()}) {
    TRY([[maybe_unused]] const auto content, read_key(path));
  }
  return keys;
}

bool has_data(const Paths& paths) {
  std::error_code error;
  const auto holds_files = [&](const fs::path& folder) {
    return fs::is_directory(folder, error) && !fs::is_empty(folder, error);
  };
  return fs::exists(paths.postgres_data(), error) || holds_files(paths.nats_jetstream()) ||
         holds_files(paths.nats_accounts());
}

}  // namespace

Result<Keys> load_or_make_keys(const Paths& paths) {
  std::error_code error;
  if (!fs::exists(paths.keys(), error)) {
    if (has_data(paths))
      return fail(errors::data_keys_lost,
                  paths.keys().string() + " is missing. " + std::string(errors::data_keys_lost.meaning));
    CHECK(make_keys(paths));
  }
  return load_keys(KeyFiles(paths));
}

}  // namespace intra365::embedded
