// Sets of scopes or purposes, each kept once: millions of consents share a few. A set is a bit for each of a
// tenant's first 256 names, and a sorted list for those beyond.
#pragma once
#include <array>
#include <span>
#include <string_view>
#include <vector>

#include "guard/compact.hpp"

namespace intra365::guard {

/// Of one tenant.
class NameSets {
 public:
  explicit NameSets(std::uint64_t seed) : names_(seed), seed_(seed) {}

  /// The number of the set of these names; the same names give the same number.
  template <class Names>
  std::uint32_t add(const Names& names) {
    std::vector<std::uint32_t> numbers;
    numbers.reserve(names.size());
    for (const auto& name : names) numbers.push_back(names_.add(name.str()));
    return add_numbers(std::move(numbers));
  }
  /// True when the set has `name` or one above it (`profile` is above `profile.read`).
  bool covers(std::uint32_t set, std::string_view name) const;
  /// Looks up a name and those above it once, for `covers` of any number of sets: writes their numbers and an
  /// end mark from `at` on, and returns what follows; null when `end` was in the way.
  std::uint32_t* resolve(std::string_view name, std::uint32_t* at, const std::uint32_t* end) const;
  /// The same answer for a name that `resolve` has written; leaves `at` behind its end mark.
  bool covers(std::uint32_t set, const std::uint32_t*& at) const;
  /// The number that the same set has among others.
  std::uint32_t copy_to(NameSets& others, std::uint32_t set) const;
  std::size_t size_bytes() const;

 private:
  static constexpr std::uint32_t kBits = 256;
  struct Set {
    std::array<std::uint64_t, kBits / 64> bits{};
    std::uint32_t first_beyond = 0, beyond = 0;  ///< in beyond_
    bool operator==(const Set&) const = default;
  };
  std::uint32_t add_numbers(std::vector<std::uint32_t> numbers);
  std::span<const std::uint32_t> beyond(const Set& set) const {
    return std::span(beyond_).subspan(set.first_beyond, set.beyond);
  }
  bool has(const Set& set, std::uint32_t number) const;

  Interner names_;
  std::uint64_t seed_;
  std::vector<Set> sets_;
  std::vector<std::uint32_t> beyond_;
  Slots by_content_;
};

}  // namespace intra365::guard
