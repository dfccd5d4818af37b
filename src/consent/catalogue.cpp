#include "consent/catalogue.hpp"

#include <algorithm>

#include "consent/lifecycle.hpp"
#include "contract/errors.hpp"

namespace intra365::consent {
namespace {

constexpr std::size_t kMaxDescription = 500;

struct Known {
  std::string_view name, description;
};

// Purposes as people are asked for them; each for a year unless they say otherwise.
constexpr Known kPurposes[] = {
    {"ai-assistance", "Answering the person's own questions with the help of artificial intelligence"},
    {"analytics", "Counting and understanding how something is used"},
    {"marketing", "Offering products and services"},
    {"medical-analysis", "Examining health data for the person's own treatment"},
    {"personalization", "Fitting content and behaviour to the person"},
    {"research", "Scientific research"},
};
constexpr Known kScopes[] = {
    {"calendar", "Appointments"},
    {"contacts", "Address book"},
    {"diary", "Personal notes"},
    {"health", "Health records"},
    {"image", "Pictures, and what is seen in them"},
    {"location", "Where the person is and was"},
    {"messages", "Messages sent and received"},
    {"profile", "Name, language and the like"},
};
constexpr int kDefaultDays = 365;

/// The entry of `name`, or of the nearest name above it.
template <class Map>
const typename Map::mapped_type* nearest(const Map& entries, std::string_view name) {
  while (true) {
    if (const auto found = entries.find(name); found != entries.end()) return &found->second;
    const auto dot = name.rfind('.');
    if (dot == std::string_view::npos) return nullptr;
    name = name.substr(0, dot);
  }
}

/// The entries of all names below `name`, which it covers.
template <class Map>
auto below(const Map& entries, const std::string& name) {
  static_assert('.' + 1 == '/');  // so the names that begin with "name." end where "name/" would stand
  return std::ranges::subrange(entries.lower_bound(name + "."), entries.lower_bound(name + "/"));
}

}  // namespace

Catalogue::Catalogue() {
  for (const auto& known : kPurposes) {
    PurposeEntry entry;
    entry.purpose = Purpose::trusted(std::string(known.name));
    entry.description = known.description;
    entry.default_days = kDefaultDays;
    purposes_.emplace(known.name, std::move(entry));
  }
  for (const auto& known : kScopes) {
    ScopeEntry entry;
    entry.scope = Scope::trusted(std::string(known.name));
    entry.description = known.description;
    scopes_.emplace(known.name, std::move(entry));
  }
}

Catalogue::Catalogue(const CatalogueReply& of_tenant) : Catalogue() {
  closed_ = of_tenant.closed;
  for (const auto& entry : of_tenant.purposes) purposes_.insert_or_assign(entry.purpose.str(), entry);
  for (const auto& entry : of_tenant.scopes) scopes_.insert_or_assign(entry.scope.str(), entry);
}

Result<void> Catalogue::check(std::span<const Purpose> purposes, std::span<const Scope> scopes) const {
  if (!closed_) return {};
  for (const auto& purpose : purposes) {
    if (!nearest(purposes_, purpose.str())) return fail(errors::unknown_purpose, "'" + purpose.str() + "'");
  }
  for (const auto& scope : scopes) {
    if (!nearest(scopes_, scope.str())) return fail(errors::unknown_scope, "'" + scope.str() + "'");
  }
  return {};
}

Result<void> Catalogue::check_inheritable(std::span<const Purpose> purposes) const {
  for (const auto& purpose : purposes) {
    const auto* entry = nearest(purposes_, purpose.str());
    bool inheritable = entry != nullptr && entry->inheritable;
    for (const auto& [name, covered] : below(purposes_, purpose.str()))
      inheritable = inheritable && covered.inheritable;
    if (!inheritable) return fail(errors::not_inheritable, "'" + purpose.str() + "'");
  }
  return {};
}

std::vector<Purpose> Catalogue::opt_outs() const {
  std::vector<Purpose> bound;
  for (const auto& [name, entry] : purposes_) {
    if (entry.opt_out) bound.push_back(entry.purpose);
  }
  return bound;
}

bool Catalogue::is_opt_out(const Purpose& purpose) const {
  return std::ranges::any_of(opt_outs(), [&](const Purpose& bound) {
    return covers(bound.str(), purpose.str()) || covers(purpose.str(), bound.str());
  });
}

Result<Timestamp> Catalogue::expiry(std::span<const Purpose> purposes, std::optional<Timestamp> asked,
                                    Timestamp now) const {
  auto longest = kMaxLifetime, usual = kMaxLifetime;
  const auto bind = [&](const PurposeEntry& entry) {
    if (entry.max_days) longest = std::min(longest, std::chrono::days(*entry.max_days));
    if (entry.default_days) usual = std::min(usual, std::chrono::days(*entry.default_days));
  };
  for (const auto& purpose : purposes) {
    if (const auto* entry = nearest(purposes_, purpose.str())) bind(*entry);
    for (const auto& [name, covered] : below(purposes_, purpose.str())) bind(covered);
  }
  if (asked && *asked > now + longest)
    return fail(errors::lifetime_too_long, "at most " + std::to_string(longest.count()) + " days");
  return asked.value_or(now + std::min(usual, longest));
}

CatalogueReply Catalogue::list() const {
  CatalogueReply reply;
  reply.closed = closed_;
  for (const auto& [name, entry] : purposes_) reply.purposes.push_back(entry);
  for (const auto& [name, entry] : scopes_) reply.scopes.push_back(entry);
  return reply;
}

Result<void> check_entry(const PurposeEntry& entry) {
  if (entry.description.size() > kMaxDescription)
    return fail(intra365::errors::bad_value, "description: at most 500 bytes");
  for (const auto days : {entry.default_days, entry.max_days}) {
    if (days && (*days < 1 || *days > kMaxLifetime.count()))
      return fail(intra365::errors::bad_value, "lifetimes: 1 to 3653 days");
  }
  if (entry.default_days && entry.max_days && *entry.default_days > *entry.max_days)
    return fail(intra365::errors::bad_value, "defaultDays: more than maxDays");
  return {};
}

Result<void> check_entry(const ScopeEntry& entry) {
  if (entry.description.size() > kMaxDescription)
    return fail(intra365::errors::bad_value, "description: at most 500 bytes");
  return {};
}

}  // namespace intra365::consent
