#include "embedded/certificates.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "crypto/certificate.hpp"
#include "embedded/file.hpp"

namespace intra365::embedded {
namespace {

using std::chrono::days;
constexpr days kAuthorityLifetime{3650}, kServerLifetime{365}, kRenewBefore{30};

/// A machine may be called anything; a certificate takes DNS names only.
bool is_dns_name(std::string_view name) {
  return !name.empty() &&
         std::ranges::all_of(name, [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '.'; });
}

std::vector<std::string> names_of_machine(const std::string& host) {
  std::vector<std::string> names{"localhost", "127.0.0.1", "::1"};
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) == 0 && is_dns_name(name.data()))
    names.emplace_back(name.data());
  if (host != "0.0.0.0" && host != "::") names.push_back(host);
  std::vector<std::string> unique;
  for (const auto& each : names) {
    if (std::ranges::find(unique, each) == unique.end()) unique.push_back(each);
  }
  return unique;
}

/// The pair when both files are there and the certificate lives long enough.
std::optional<crypto::Certificate> usable(const fs::path& certificate, const fs::path& key, Timestamp now) {
  const auto certificate_pem = read_file(certificate), key_pem = read_file(key);
  if (!certificate_pem || !key_pem) return std::nullopt;
  const auto facts = crypto::read_certificate(*certificate_pem);
  if (!facts || facts->expires_at < now + kRenewBefore) return std::nullopt;
  return crypto::Certificate{*certificate_pem, *key_pem};
}

bool covers(const crypto::Certificate& certificate, const std::vector<std::string>& names) {
  const auto facts = crypto::read_certificate(certificate.certificate_pem);
  return facts && std::ranges::all_of(names, [&](const std::string& name) {
           return std::ranges::find(facts->names, name) != facts->names.end();
         });
}

/// The key first: a certificate without its key is noticed and made again, the reverse is not.
Result<void> store(const crypto::Certificate& certificate, const fs::path& certificate_file,
                   const fs::path& key_file) {
  ::unlink(certificate_file.c_str());
  CHECK(write_file(key_file, certificate.key_pem));
  return write_file(certificate_file, certificate.certificate_pem, 0644);
}

}  // namespace

Result<void> ensure_certificates(const Paths& paths, const std::string& host, Timestamp now) {
  CHECK(make_directory(paths.tls()));
  auto authority = usable(paths.ca_certificate(), paths.ca_key(), now);
  if (!authority) {
    TRY(authority, crypto::make_certificate_authority("intra365 local authority", now, kAuthorityLifetime));
    CHECK(store(*authority, paths.ca_certificate(), paths.ca_key()));
  }
  const auto names = names_of_machine(host);
  const auto server = usable(paths.server_certificate(), paths.server_key(), now);
  if (server && covers(*server, names) &&
      crypto::signed_by(server->certificate_pem, authority->certificate_pem))
    return {};
  TRY(const auto issued, crypto::issue_server_certificate(*authority, names, now, kServerLifetime));
  return store(issued, paths.server_certificate(), paths.server_key());
}

}  // namespace intra365::embedded
