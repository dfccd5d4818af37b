#include "crypto/certificate.hpp"

#include <arpa/inet.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <array>
#include <cctype>
#include <ctime>
#include <memory>

namespace intra365::crypto {
namespace {

template <auto Free>
struct Freer {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
void free_names(GENERAL_NAMES* names) {
  sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}
using KeyPtr = std::unique_ptr<EVP_PKEY, Freer<EVP_PKEY_free>>;
using X509Ptr = std::unique_ptr<X509, Freer<X509_free>>;
using BioPtr = std::unique_ptr<BIO, Freer<BIO_free>>;
using NamesPtr = std::unique_ptr<GENERAL_NAMES, Freer<free_names>>;

constexpr std::size_t kMaxNames = 64;
constexpr std::size_t kMaxPemBytes = 64u << 10;
constexpr auto kClockDifference = std::chrono::hours(1);

Failure broken() {
  ERR_clear_error();
  return fail(errors::bad_certificate);
}

std::string content(BIO* memory) {
  char* data = nullptr;
  const auto size = BIO_get_mem_data(memory, &data);
  return std::string(data, static_cast<std::size_t>(size));
}

X509Ptr read_pem(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) return nullptr;
  const BioPtr memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return X509Ptr(PEM_read_bio_X509(memory.get(), nullptr, nullptr, nullptr));
}

KeyPtr read_key(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) return nullptr;
  const BioPtr memory(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  char no_password[] = "";  // without it OpenSSL would ask on the terminal
  return KeyPtr(PEM_read_bio_PrivateKey(memory.get(), nullptr, nullptr, no_password));
}

bool set_time(ASN1_TIME* target, Timestamp time) {
  return ASN1_TIME_set(target, static_cast<time_t>(unix_seconds(time))) != nullptr;
}

bool set_random_serial(X509* certificate) {
  std::array<unsigned char, 16> bytes;
  if (RAND_bytes(bytes.data(), bytes.size()) != 1) return false;
  bytes[0] = (bytes[0] & 0x3f) | 0x40;  // positive, and always of the same length (RFC 5280, 4.1.2.2)
  const std::unique_ptr<BIGNUM, Freer<BN_free>> number(BN_bin2bn(bytes.data(), bytes.size(), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool add_extension(X509* certificate, X509* issuer, int id, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>> extension(
      X509V3_EXT_conf_nid(nullptr, &context, id, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

/// Version, serial, validity, subject and key: what both kinds have in common. The issuer is set by the
/// caller.
X509Ptr begin_certificate(const std::string& common_name, EVP_PKEY* key, Timestamp now,
                          std::chrono::days lifetime) {
  X509Ptr certificate(X509_new());
  const auto* text = reinterpret_cast<const unsigned char*>(common_name.data());
  const bool made =
      certificate && X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
      set_random_serial(certificate.get()) &&
      set_time(X509_getm_notBefore(certificate.get()), now - kClockDifference) &&
      set_time(X509_getm_notAfter(certificate.get()), now + lifetime) &&
      X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate.get()), NID_commonName, MBSTRING_UTF8,
                                 text, static_cast<int>(common_name.size()), -1, 0) == 1 &&
      X509_set_pubkey(certificate.get(), key) == 1;
  return made ? std::move(certificate) : nullptr;
}

Result<Certificate> write_pem(X509* certificate, EVP_PKEY* key) {
  const BioPtr certificate_text(BIO_new(BIO_s_mem())), key_text(BIO_new(BIO_s_secmem()));
  if (!certificate_text || !key_text || PEM_write_bio_X509(certificate_text.get(), certificate) != 1 ||
      PEM_write_bio_PKCS8PrivateKey(key_text.get(), key, nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return broken();
  }
  return Certificate{content(certificate_text.get()), content(key_text.get())};
}

bool is_address(const std::string& name) {
  std::array<unsigned char, 16> ignored;
  return inet_pton(AF_INET, name.c_str(), ignored.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), ignored.data()) == 1;
}

/// A DNS name may not bring anything into OpenSSL's extension syntax, where a comma begins the next entry.
bool is_dns_name(const std::string& name) {
  if (name.empty() || name.size() > 253) return false;
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '-' && c != '.' && c != '_') return false;
  }
  return true;
}

std::string address_text(const ASN1_OCTET_STRING* address) {
  const int family = ASN1_STRING_length(address) == 4 ? AF_INET : AF_INET6;
  if (family == AF_INET6 && ASN1_STRING_length(address) != 16) return {};
  std::array<char, INET6_ADDRSTRLEN> text{};
  const auto* read = inet_ntop(family, ASN1_STRING_get0_data(address), text.data(), text.size());
  return read ? read : "";
}

}  // namespace

Result<Certificate> make_certificate_authority(const std::string& common_name, Timestamp now,
                                               std::chrono::days lifetime) {
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return broken();
  const auto certificate = begin_certificate(common_name, key.get(), now, lifetime);
  if (!certificate) return broken();
  auto* self = certificate.get();
  if (X509_set_issuer_name(self, X509_get_subject_name(self)) != 1 ||
      !add_extension(self, self, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
      !add_extension(self, self, NID_key_usage, "critical,keyCertSign,cRLSign") ||
      !add_extension(self, self, NID_subject_key_identifier, "hash") ||
      X509_sign(self, key.get(), EVP_sha256()) == 0) {
    return broken();
  }
  return write_pem(self, key.get());
}

Result<Certificate> issue_server_certificate(const Certificate& authority,
                                             const std::vector<std::string>& names, Timestamp now,
                                             std::chrono::days lifetime) {
  if (names.empty() || names.size() > kMaxNames) return broken();
  std::string alternative_names;
  for (const auto& name : names) {
    if (!is_address(name) && !is_dns_name(name)) return broken();
    if (!alternative_names.empty()) alternative_names += ',';
    alternative_names += (is_address(name) ? "IP:" : "DNS:") + name;
  }
  const auto issuer = read_pem(authority.certificate_pem);
  const auto issuer_key = read_key(authority.key_pem);
  if (!issuer || !issuer_key || X509_check_private_key(issuer.get(), issuer_key.get()) != 1) return broken();
  const KeyPtr key(EVP_EC_gen("P-256"));
  if (!key) return broken();
  const auto certificate = begin_certificate(names.front().substr(0, 64), key.get(), now, lifetime);
  if (!certificate) return broken();
  auto* self = certificate.get();
  if (X509_set_issuer_name(self, X509_get_subject_name(issuer.get())) != 1 ||
      !add_extension(self, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !add_extension(self, issuer.get(), NID_key_usage, "critical,digitalSignature") ||
      !add_extension(self, issuer.get(), NID_ext_key_usage, "serverAuth") ||
      !add_extension(self, issuer.get(), NID_subject_key_identifier, "hash") ||
      !add_extension(self, issuer.get(), NID_authority_key_identifier, "keyid") ||
      !add_extension(self, issuer.get(), NID_subject_alt_name, alternative_names) ||
      X509_sign(self, issuer_key.get(), EVP_sha256()) == 0) {
    return broken();
  }
  return write_pem(self, key.get());
}

Result<CertificateFacts> read_certificate(std::string_view pem) {
  const auto certificate = read_pem(pem);
  if (!certificate) return broken();
  std::tm time{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &time) != 1) return broken();
  CertificateFacts facts;
  facts.expires_at = from_unix_seconds(timegm(&time));
  const NamesPtr names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const auto* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) {
      facts.names.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(name->d.dNSName)),
                               static_cast<std::size_t>(ASN1_STRING_length(name->d.dNSName)));
    } else if (name->type == GEN_IPADD) {
      facts.names.push_back(address_text(name->d.iPAddress));
    }
  }
  ERR_clear_error();
  return facts;
}

bool signed_by(std::string_view certificate_pem, std::string_view authority_pem) {
  const auto certificate = read_pem(certificate_pem);
  const auto authority = read_pem(authority_pem);
  const bool right =
      certificate && authority && X509_verify(certificate.get(), X509_get0_pubkey(authority.get())) == 1;
  ERR_clear_error();
  return right;
}

}  // namespace intra365::crypto
