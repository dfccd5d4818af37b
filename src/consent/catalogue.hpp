// What a tenant asks consent for: purposes with their lifetimes, and scopes. Names are hierarchies by their
// dots, so an entry speaks for everything below it.
#pragma once
#include <map>
#include <optional>
#include <span>

#include "contract/operations/consent.hpp"

namespace intra365::consent {

namespace errors {
inline constexpr ErrorCode unknown_purpose{ErrorKind::invalid, "consent.unknown_purpose",
                                           "The tenant's catalogue has no such purpose."};
inline constexpr ErrorCode unknown_scope{ErrorKind::invalid, "consent.unknown_scope",
                                         "The tenant's catalogue has no such scope."};
inline constexpr ErrorCode lifetime_too_long{
    ErrorKind::invalid, "consent.lifetime_too_long",
    "A consent lasts at most as long as its purposes allow, and never more than ten years; ask again then."};
inline constexpr ErrorCode not_inheritable{
    ErrorKind::denied, "consent.not_inheritable",
    "The tenant's catalogue does not say that a group may consent to this purpose for its people."};
}  // namespace errors

/// The longest a consent may hold, whatever its purposes say.
inline constexpr std::chrono::days kMaxLifetime{3653};

/// Immutable once it is built. The platform's own entries are part of every catalogue; a tenant's entry of
/// the same name stands in their place.
class Catalogue {
 public:
  /// The platform's entries alone, open.
  Catalogue();
  explicit Catalogue(const CatalogueReply& of_tenant);

  /// Refuses names without an entry, where the catalogue is closed.
  Result<void> check(std::span<const Purpose> purposes, std::span<const Scope> scopes) const;
  /// Refuses purposes that a group may not consent to: those whose entry does not say that it may, and those
  /// with such an entry below them.
  Result<void> check_inheritable(std::span<const Purpose> purposes) const;
  /// The purposes that the law lets people opt out of.
  std::vector<Purpose> opt_outs() const;
  /// True when such a purpose covers this one, or is covered by it.
  bool is_opt_out(const Purpose& purpose) const;
  /// When a consent for these purposes ends: as asked, else after the shortest default lifetime, else after
  /// the longest there may be. The shortest maximum binds; without one, ten years. A purpose covers what is
  /// below it, so the lifetimes of entries below count like its own.
  Result<Timestamp> expiry(std::span<const Purpose> purposes, std::optional<Timestamp> asked,
                           Timestamp now) const;
  /// All entries, in the order of their names.
  CatalogueReply list() const;

 private:
  bool closed_ = false;
  std::map<std::string, PurposeEntry, std::less<>> purposes_;
  std::map<std::string, ScopeEntry, std::less<>> scopes_;
};

/// Checks a tenant's entry before it is stored: lifetimes of 1 to 3653 days, the default not above the
/// maximum.
Result<void> check_entry(const PurposeEntry& entry);
Result<void> check_entry(const ScopeEntry& entry);

}  // namespace intra365::consent
