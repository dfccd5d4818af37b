// The combinations of purposes and scopes that consents have: few, shared by many consents, asked often.
#pragma once
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/ids.hpp"
#include "guard/text_table.hpp"

namespace intra365::guard {

/// Words numbered in the order they come.
class Vocabulary {
 public:
  static constexpr std::uint32_t kUnknown = 0xffffffff;
  std::uint32_t add(std::string_view word);
  std::uint32_t find(std::string_view word) const {
    const auto found = numbers_.find(word);
    return found == numbers_.end() ? kUnknown : found->second;
  }
  std::string_view word(std::uint32_t number) const { return words_[number]; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view word) const { return hash_of(word); }
  };
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> numbers_;
  std::vector<std::string_view> words_;  ///< keys of the map, which never move
};

/// A set of numbers: those below 64 as bits.
struct Numbers {
  std::uint64_t low = 0;
  std::vector<std::uint32_t> high;  ///< sorted
  bool has(std::uint32_t number) const;
  void put(std::uint32_t number);
};

/// What a use needs, looked up once for all records that are asked about it. Lives on the stack.
struct NeededUse {
  static constexpr std::size_t kScopes = 50;
  /// Each scope is covered by one of some numbers: its own, and those of the scopes above it.
  static constexpr std::size_t kCovering = 256;
  std::uint32_t purpose;
  std::uint32_t scopes = 0;
  bool coverable = true;        ///< false: nobody has granted one of the scopes, or there are too many
  std::uint16_t ends[kScopes];  ///< where each scope's numbers end
  std::uint32_t covering[kCovering];
};

/// Not thread-safe.
class ConsentSets {
 public:
  using Number = std::uint32_t;
  /// The set's number; it is made if it is new.
  Number add(std::span<const Purpose> purposes, std::span<const Scope> scopes);

  void look_up(std::span<const Scope> scopes, const Purpose& purpose, NeededUse& use) const;
  bool has_purpose(Number set, const NeededUse& use) const {
    return use.purpose != Vocabulary::kUnknown && sets_[set].purposes.has(use.purpose);
  }
  bool covers_scopes(Number set, const NeededUse& use) const;

  std::size_t size() const { return sets_.size(); }

 private:
  struct Set {
    Numbers purposes, scopes;
  };
  Vocabulary purposes_, scopes_;
  std::vector<Set> sets_;
  std::unordered_map<std::string, Number> known_;
};

}  // namespace intra365::guard
