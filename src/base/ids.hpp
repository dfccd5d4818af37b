// Identifiers that cannot be mixed up: each kind is its own type, and every value that exists is valid,
// so it may stand in a NATS subject, a file name or a log line without another check.
#pragma once
#include <compare>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace intra365 {

/// True for `[A-Za-z0-9_-]{1,64}`, the tokens that may stand in a subject.
bool is_token(std::string_view text);
/// True for `[A-Za-z0-9_.:-]{1,128}`, the dotted names of scopes, purposes and capabilities.
bool is_dotted_name(std::string_view text);

/// A string of one kind. `Tag::valid` decides what it may hold and `Tag::error` what is said otherwise.
template <class Tag>
class Name {
 public:
  /// An empty value, only as a place to assign to.
  Name() = default;
  /// Fails with the tag's error when `text` is not a valid name of this kind.
  static Result<Name> parse(std::string_view text) {
    if (!Tag::valid(text))
      return fail(Tag::error,
                  "'" + std::string(text.substr(0, 64)) + "': " + std::string(Tag::error.meaning));
    return Name(std::string(text));
  }
  /// For values that are known to be valid: literals, and what the database returns.
  static Name trusted(std::string text) { return Name(std::move(text)); }

  const std::string& str() const { return value_; }
  bool empty() const { return value_.empty(); }
  friend auto operator<=>(const Name&, const Name&) = default;

 private:
  explicit Name(std::string value) : value_(std::move(value)) {}
  std::string value_;
};

namespace tags {
struct Token {
  static bool valid(std::string_view text) { return is_token(text); }
  static constexpr const ErrorCode& error = errors::bad_token;
};
struct Dotted {
  static bool valid(std::string_view text) { return is_dotted_name(text); }
  static constexpr const ErrorCode& error = errors::bad_name;
};
struct Tenant : Token {};
struct User : Token {};
struct Mate : Token {};
struct Consent : Token {};
struct Policy : Token {};
struct ApiKey : Token {};
struct Scope : Dotted {};
struct Purpose : Dotted {};
struct Capability : Token {};
}  // namespace tags

using TenantId = Name<tags::Tenant>;
using UserId = Name<tags::User>;
using MateId = Name<tags::Mate>;
using ConsentId = Name<tags::Consent>;
using PolicyId = Name<tags::Policy>;
using ApiKeyId = Name<tags::ApiKey>;
using Scope = Name<tags::Scope>;
using Purpose = Name<tags::Purpose>;
using Capability = Name<tags::Capability>;

/// A new UUID version 7 (RFC 9562): random, and ordered by time so that indexes stay compact.
std::string new_uuid();
/// `size` bytes from the kernel's random source.
std::string random_bytes(std::size_t size);
/// `length` characters of [A-Za-z0-9], 5.95 bits each, from the kernel's random source.
std::string random_token(std::size_t length);

}  // namespace intra365

template <class Tag>
struct std::hash<intra365::Name<Tag>> {
  std::size_t operator()(const intra365::Name<Tag>& name) const noexcept {
    return std::hash<std::string>{}(name.str());
  }
};
