#include "guard/consent_sets.hpp"

#include <algorithm>

namespace intra365::guard {

std::uint32_t Vocabulary::add(std::string_view word) {
  const auto [found, is_new] =
      numbers_.try_emplace(std::string(word), static_cast<std::uint32_t>(words_.size()));
  if (is_new) words_.push_back(found->first);
  return found->second;
}

bool Numbers::has(std::uint32_t number) const {
  return number < 64 ? (low >> number & 1) != 0 : std::ranges::binary_search(high, number);
}

void Numbers::put(std::uint32_t number) {
  if (number < 64) {
    low |= std::uint64_t{1} << number;
    return;
  }
  const auto at = std::ranges::lower_bound(high, number);
  if (at == high.end() || *at != number) high.insert(at, number);
}

ConsentSets::Number ConsentSets::add(std::span<const Purpose> purposes, std::span<const Scope> scopes) {
  Set set;
  for (const auto& one : purposes) set.purposes.put(purposes_.add(one.str()));
  for (const auto& one : scopes) set.scopes.put(scopes_.add(one.str()));
  std::string likeness;
  for (const auto* numbers : {&set.purposes, &set.scopes}) {
    const auto count = numbers->high.size();
    likeness.append(reinterpret_cast<const char*>(&count), sizeof count);
    likeness.append(reinterpret_cast<const char*>(&numbers->low), sizeof numbers->low);
    likeness.append(reinterpret_cast<const char*>(numbers->high.data()), count * sizeof(std::uint32_t));
  }
  const auto [found, is_new] = known_.try_emplace(std::move(likeness), static_cast<Number>(sets_.size()));
  if (is_new) sets_.push_back(std::move(set));
  return found->second;
}

void ConsentSets::look_up(std::span<const Scope> scopes, const Purpose& purpose, NeededUse& use) const {
  use.purpose = purposes_.find(purpose.str());
  use.scopes = 0;
  use.coverable = scopes.size() <= NeededUse::kScopes;
  std::uint16_t end = 0;
  for (std::size_t i = 0; use.coverable && i < scopes.size(); ++i) {
    const auto begin = end;
    // The scope itself, then whatever stands above it: a.b.c, a.b, a.
    for (std::string_view name = scopes[i].str(); !name.empty() && end < NeededUse::kCovering;) {
      if (const auto number = scopes_.find(name); number != Vocabulary::kUnknown)
        use.covering[end++] = number;
      const auto dot = name.rfind('.');
      name = dot == std::string_view::npos ? std::string_view() : name.substr(0, dot);
    }
    use.coverable = end > begin;
    use.ends[use.scopes++] = end;
  }
}

bool ConsentSets::covers_scopes(Number set, const NeededUse& use) const {
  if (!use.coverable) return false;
  const auto& granted = sets_[set].scopes;
  std::uint16_t at = 0;
  for (std::uint32_t i = 0; i < use.scopes; ++i) {
    bool covered = false;
    for (; at < use.ends[i]; ++at) covered = covered || granted.has(use.covering[at]);
    if (!covered) return false;
  }
  return true;
}

}  // namespace intra365::guard
