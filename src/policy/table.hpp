// Open-addressing tables that are built once and only read afterwards: one probe, usually one cache line.
#pragma once
#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace intra365::policy {

inline constexpr std::uint32_t kNone = 0xffff'ffff;

/// Chosen at random when the process starts, so that nobody can prepare texts that collide.
std::uint64_t hash_seed();

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  __extension__ using Wide = unsigned __int128;
  const auto product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// Multiply-and-fold over eight bytes at a time, in the way of wyhash. Not for anything that must resist
/// more than flooding of one process.
inline std::uint64_t hash_text(std::string_view text, std::uint64_t seed) {
  constexpr std::uint64_t k0 = 0xa0761d6478bd642full, k1 = 0xe7037ed1a0b428dbull;
  const auto load8 = [](const char* at) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    return word;
  };
  const auto load4 = [](const char* at) {
    std::uint32_t word;
    std::memcpy(&word, at, 4);
    return std::uint64_t{word};
  };
  const char* at = text.data();
  std::size_t left = text.size();
  std::uint64_t state = seed ^ k0;
  for (; left > 16; at += 16, left -= 16) state = mix(load8(at) ^ k1, load8(at + 8) ^ state);
  std::uint64_t a = 0, b = 0;
  if (left >= 8) {
    a = load8(at);
    b = load8(at + left - 8);
  } else if (left >= 4) {
    a = load4(at);
    b = load4(at + left - 4);
  } else if (left > 0) {
    a = (std::uint64_t{static_cast<unsigned char>(at[0])} << 16) |
        (std::uint64_t{static_cast<unsigned char>(at[left / 2])} << 8) |
        static_cast<unsigned char>(at[left - 1]);
  }
  return mix(k1 ^ text.size(), mix(a ^ k1, b ^ state));
}

/// Texts numbered in the order they came. They are copied, one behind the other, so that a look-up touches
/// two cache lines: its slot, and its text.
///
///   slots_  [ hash | at ] ──▶ texts_  … | id | size | characters | …
class TextTable {
 public:
  std::uint32_t find(std::string_view text) const { return slots_.empty() ? kNone : find(text, start(text)); }
  /// The first half of `find`: asks the memory for the slot, so that it comes while something else is done.
  std::uint32_t start(std::string_view text) const {
    const auto hash = static_cast<std::uint32_t>(hash_text(text, seed_));
    if (!slots_.empty()) __builtin_prefetch(&slots_[hash & mask_]);
    return hash;
  }
  /// The second half, with what `start` has given for the same text.
  std::uint32_t find(std::string_view text, std::uint32_t hash) const {
    if (slots_.empty()) return kNone;
    for (auto at = hash & mask_;; at = (at + 1) & mask_) {
      const auto& slot = slots_[at];
      if (slot.at == kNone) return kNone;
      if (slot.hash == hash && holds(slot.at, text)) return id_at(slot.at);
    }
  }
  /// INVARIANT: the texts together stay below 4 GiB, which the limits on sets and patterns keep.
  std::uint32_t intern(std::string_view text) {
    if ((count_ + 1) * 2 > slots_.size()) grow();
    const auto hash = static_cast<std::uint32_t>(hash_text(text, seed_));
    for (auto at = hash & mask_;; at = (at + 1) & mask_) {
      auto& slot = slots_[at];
      if (slot.at == kNone) {
        slot = {hash, static_cast<std::uint32_t>(texts_.size())};
        const std::uint32_t head[] = {count_, static_cast<std::uint32_t>(text.size())};
        texts_.append(reinterpret_cast<const char*>(head), sizeof head).append(text);
        return count_++;
      }
      if (slot.hash == hash && holds(slot.at, text)) return id_at(slot.at);
    }
  }
  std::uint32_t size() const { return count_; }

 private:
  struct Slot {
    std::uint32_t hash = 0, at = kNone;
  };
  std::uint32_t id_at(std::uint32_t at) const {
    std::uint32_t id;
    std::memcpy(&id, texts_.data() + at, sizeof id);
    return id;
  }
  bool holds(std::uint32_t at, std::string_view text) const {
    std::uint32_t size;
    std::memcpy(&size, texts_.data() + at + 4, sizeof size);
    return size == text.size() && std::memcmp(texts_.data() + at + 8, text.data(), size) == 0;
  }
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
    old.swap(slots_);
    mask_ = static_cast<std::uint32_t>(slots_.size() - 1);
    for (const auto& slot : old) {
      if (slot.at == kNone) continue;
      auto at = slot.hash & mask_;
      while (slots_[at].at != kNone) at = (at + 1) & mask_;
      slots_[at] = slot;
    }
  }
  std::vector<Slot> slots_;
  std::string texts_;
  std::uint64_t seed_ = hash_seed();
  std::uint32_t mask_ = 0, count_ = 0;
};

/// The same for keys of 64 bits, to a number that the caller chooses.
class KeyTable {
 public:
  std::uint32_t find(std::uint64_t key) const {
    if (slots_.empty()) return kNone;
    for (auto at = mix(key ^ seed_, kSpread) & mask_;; at = (at + 1) & mask_) {
      if (slots_[at].value == kNone) return kNone;
      if (slots_[at].key == key) return slots_[at].value;
    }
  }
  /// The number of `key`, which is `value` when it is new.
  std::uint32_t insert(std::uint64_t key, std::uint32_t value) {
    if ((count_ + 1) * 2 > slots_.size()) grow();
    auto at = mix(key ^ seed_, kSpread) & mask_;
    for (; slots_[at].value != kNone; at = (at + 1) & mask_) {
      if (slots_[at].key == key) return slots_[at].value;
    }
    slots_[at] = {key, value};
    ++count_;
    return value;
  }
  bool empty() const { return count_ == 0; }

 private:
  static constexpr std::uint64_t kSpread = 0x9e3779b97f4a7c15ull;
  struct Slot {
    std::uint64_t key = 0;
    std::uint32_t value = kNone;
  };
  void grow() {
    std::vector<Slot> old(slots_.empty() ? 16 : slots_.size() * 2);
    old.swap(slots_);
    mask_ = slots_.size() - 1;
    for (const auto& slot : old) {
      if (slot.value == kNone) continue;
      auto at = mix(slot.key ^ seed_, kSpread) & mask_;
      while (slots_[at].value != kNone) at = (at + 1) & mask_;
      slots_[at] = slot;
    }
  }
  std::vector<Slot> slots_;
  std::uint64_t mask_ = 0, seed_ = hash_seed();
  std::size_t count_ = 0;
};

}  // namespace intra365::policy
