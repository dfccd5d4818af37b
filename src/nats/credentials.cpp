#include "nats/credentials.hpp"

#include <fstream>
#include <iterator>

#include "crypto/nats_jwt.hpp"

namespace intra365::nats {
namespace {

constexpr std::size_t kMaxFileBytes = 1u << 20;

Result<Credentials> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (!file.eof() && file.gcount() == 0))
    return fail(errors::no_credentials, "the credentials file '" + path + "' cannot be read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  TRY(auto parsed, crypto::parse_creds_file(text));
  Credentials credentials;
  credentials.jwt = std::move(parsed.jwt);
  credentials.nkey_seed = std::move(parsed.seed);
  return credentials;
}

Task<Credentials> ready(Result<Credentials> credentials) {
  co_return credentials;
}

}  // namespace

std::function<Task<Credentials>()> credentials_file(std::string path) {
  return [path = std::move(path)] { return ready(read(path)); };
}

std::function<Task<Credentials>()> fixed_credentials(Credentials credentials) {
  return [credentials = std::move(credentials)] { return ready(credentials); };
}

}  // namespace intra365::nats
