// Each text once, by number: many records name the same few, or the same many, texts.
#pragma once
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

namespace intra365::guard {

inline std::uint64_t hash_of(std::string_view text) {
  return std::hash<std::string_view>{}(text);
}

/// Texts of up to 65,535 bytes, packed one behind the other. A reference stays good until `clear`; nothing is
/// ever taken out. Not thread-safe.
class TextTable {
 public:
  using Reference = std::uint32_t;
  static constexpr Reference kNone = 0xffffffff;

  /// The text's reference; it is added if it is new.
  Reference add(std::string_view text) {
    if ((count_ + 1) * 3 > slots_.size() * 2) grow();
    const auto slot = slot_of(text);
    if (slots_[slot] == kNone) {
      slots_[slot] = store(text);
      ++count_;
    }
    return slots_[slot];
  }
  /// kNone for a text that nobody has added.
  Reference find(std::string_view text) const { return count_ == 0 ? kNone : slots_[slot_of(text)]; }

  std::string_view view(Reference reference) const {
    const char* const at = blocks_[reference / kUnits].get() + (reference % kUnits) * kUnit;
    std::uint16_t size = 0;
    std::memcpy(&size, at, sizeof size);
    return {at + sizeof size, size};
  }
  std::size_t size() const { return count_; }
  std::size_t bytes() const { return blocks_.size() * kUnits * kUnit + slots_.size() * sizeof(Reference); }
  void clear() { *this = TextTable(); }

 private:
  /// References count units, so that 32 bits reach 16 GiB.
  static constexpr std::size_t kUnit = 4, kUnits = 64 * 1024;

  Reference store(std::string_view text) {
    const auto needed = (sizeof(std::uint16_t) + text.size() + kUnit - 1) / kUnit;
    if (blocks_.empty() || used_ + needed > kUnits) {
      blocks_.push_back(std::make_unique<char[]>(kUnits * kUnit));
      used_ = 0;
    }
    char* const at = blocks_.back().get() + used_ * kUnit;
    const auto size = static_cast<std::uint16_t>(text.size());
    std::memcpy(at, &size, sizeof size);
    if (size != 0) std::memcpy(at + sizeof size, text.data(), size);
    const auto reference = static_cast<Reference>((blocks_.size() - 1) * kUnits + used_);
    used_ += needed;
    return reference;
  }
  std::size_t slot_of(std::string_view text) const {
    const auto mask = slots_.size() - 1;
    auto slot = hash_of(text) & mask;
    while (slots_[slot] != kNone && view(slots_[slot]) != text) slot = (slot + 1) & mask;
    return slot;
  }
  void grow() {
    const auto before = std::move(slots_);
    slots_.assign(before.empty() ? 16 : before.size() * 2, kNone);
    for (const auto reference : before) {
      if (reference != kNone) slots_[slot_of(view(reference))] = reference;
    }
  }

  std::vector<std::unique_ptr<char[]>> blocks_;
  std::size_t used_ = 0, count_ = 0;
  std::vector<Reference> slots_;  ///< a power of two
};

}  // namespace intra365::guard
