#include "platform/accounts.hpp"

#include "contract/catalog.hpp"
#include "contract/subjects.hpp"

namespace intra365::platform {
namespace {

/// Place of the tenant's key in `acct.<key>.…`.
constexpr unsigned kKeyPosition = 2;
/// ADR-32: where services tell who they are and how they do.
constexpr std::string_view kDiscovery = "$SRV.>";

std::string all_of(std::string_view service) {
  return "intra365." + std::string(service) + ".>";
}

crypto::Import import_of(std::string_view name, std::string local_subject, const std::string& importer,
                         const std::string& platform_key) {
  crypto::Import import;
  import.name = name;
  import.account = platform_key;
  import.subject = subjects::in_account(importer, local_subject);
  import.local_subject = std::move(local_subject);
  return import;
}

crypto::AccountClaims account(const std::string& name, const std::string& public_key,
                              const std::string& signing_key) {
  crypto::AccountClaims claims;
  claims.name = name;
  claims.subject = public_key;
  claims.signing_keys = {signing_key};
  return claims;
}

}  // namespace

crypto::AccountClaims platform_account(const std::string& public_key, const std::string& signing_key) {
  auto claims = account("PLATFORM", public_key, signing_key);
  claims.jetstream = true;
  for (const auto service : service_names()) {
    crypto::ServiceExport exported;
    exported.name = service;
    exported.subject = subjects::in_any_account(all_of(service));
    exported.account_token_position = kKeyPosition;
    claims.service_exports.push_back(std::move(exported));
  }
  crypto::ServiceExport discovery;
  discovery.name = "discovery";
  discovery.subject = kDiscovery;
  discovery.many_replies = true;  // every service answers a PING
  claims.service_exports.push_back(std::move(discovery));
  for (const auto feed : subjects::feeds) {
    crypto::StreamExport exported;
    exported.name = feed;
    exported.subject = subjects::in_any_account(all_of(feed));
    exported.account_token_position = kKeyPosition;
    claims.stream_exports.push_back(std::move(exported));
  }
  return claims;
}

crypto::AccountClaims tenant_account(const std::string& name, const std::string& public_key,
                                     const std::string& signing_key, const std::string& platform_key) {
  auto claims = account(name, public_key, signing_key);
  claims.jetstream = true;
  for (const auto service : service_names()) {
    claims.imports.push_back(import_of(service, all_of(service), public_key, platform_key));
  }
  for (const auto feed : subjects::feeds) {
    auto import = import_of(feed, all_of(feed), public_key, platform_key);
    import.is_stream = true;
    claims.imports.push_back(std::move(import));
  }
  return claims;
}

crypto::Import discovery_import(const std::string& platform_key) {
  crypto::Import import;
  import.name = "discovery";
  import.account = platform_key;
  import.subject = kDiscovery;
  return import;
}

crypto::AccountClaims guest_account(const std::string& name, const std::string& public_key,
                                    const std::string& signing_key, const std::string& platform_key) {
  auto claims = account(name, public_key, signing_key);
  claims.imports.push_back(
      import_of("auth.token.request", "intra365.auth.token.request", public_key, platform_key));
  return claims;
}

}  // namespace intra365::platform
