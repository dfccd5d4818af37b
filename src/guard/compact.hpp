// Small parts for large indexes: texts kept once and named by a number, and a hash table of 8 bytes a slot.
// What they hold is found by numbers of 32 bits, so a thing of them has at most 2^32 - 2 entries.
#pragma once
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "guard/big_array.hpp"

namespace intra365::guard {

/// Not an entry.
inline constexpr std::uint32_t kNothing = 0xffffffff;

/// Hash of a text. The seed is random for every index, so that nobody can choose names that collide.
inline std::uint64_t hash_text(std::string_view text, std::uint64_t seed) {
  const auto fold = [](std::uint64_t a, std::uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const auto product = static_cast<Wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  };
  constexpr std::uint64_t kOdd = 0x9e3779b97f4a7c15;
  std::uint64_t hash = seed ^ (text.size() * kOdd);
  const char* at = text.data();
  std::size_t left = text.size();
  for (; left >= 8; left -= 8, at += 8) {
    std::uint64_t word;
    std::memcpy(&word, at, 8);
    hash = fold(hash ^ word, kOdd);
  }
  std::uint64_t word = 0;
  std::memcpy(&word, at, left);
  return fold(hash ^ word ^ seed, kOdd ^ left);
}

/// Texts one after the other; a text is named by where it begins. Views hold until the next `add`.
class TextArena {
 public:
  /// At most 255 bytes.
  std::uint32_t add(std::string_view text) {
    const auto place = bytes_.size();
    bytes_.resize(place + 1 + text.size());
    bytes_[place] = static_cast<char>(text.size());
    std::memcpy(bytes_.data() + place + 1, text.data(), text.size());
    return static_cast<std::uint32_t>(place);
  }
  std::string_view at(std::uint32_t place) const {
    const auto* from = bytes_.data() + place;
    return {from + 1, static_cast<unsigned char>(*from)};
  }
  std::size_t size_bytes() const { return bytes_.size_bytes(); }

 private:
  BigArray<char> bytes_;
};

/// What a slot holds where nothing more is wanted.
struct Numbered {
  std::uint32_t number;
};

/// Finds numbers by a hash; what they stand for, and whether two are alike, the owner knows. Linear probing;
/// a slot holds 32 bits of the hash, so a probe rarely looks at the wrong entry, and growing needs no entry
/// at all. `Entry` has a `number`, and whatever the owner wants to compare before it has the thing itself.
template <class Entry>
class SlotTable {
 public:
  /// `is_it` is asked about an entry whose hash fits.
  template <class IsIt>
  std::uint32_t find(std::uint64_t hash, const IsIt& is_it) const {
    if (slots_.empty()) return kNothing;
    const auto tag = tag_of(hash);
    for (auto at = tag & mask_; slots_[at].entry.number != kNothing; at = (at + 1) & mask_) {
      if (slots_[at].tag == tag && is_it(slots_[at].entry)) return slots_[at].entry.number;
    }
    return kNothing;
  }
  /// Has the processor fetch what `find` will look at first.
  void prefetch(std::uint64_t hash) const {
    if (!slots_.empty()) __builtin_prefetch(slots_.data() + (tag_of(hash) & mask_));
  }
  /// Its number must not be there yet.
  void add(std::uint64_t hash, Entry entry) {
    if ((size_ + 1) * 4 > slots_.size() * 3) resize(slots_.empty() ? 16 : slots_.size() * 2);
    put({tag_of(hash), entry});
    ++size_;
  }
  void replace(std::uint64_t hash, std::uint32_t number, std::uint32_t by) {
    slots_[position(hash, number)].entry.number = by;
  }
  void remove(std::uint64_t hash, std::uint32_t number) {
    auto hole = position(hash, number);
    // What follows moves up until something stands where it belongs: no tombstones.
    for (auto next = (hole + 1) & mask_; slots_[next].entry.number != kNothing; next = (next + 1) & mask_) {
      const auto home = slots_[next].tag & mask_;
      if (((next - home) & mask_) >= ((next - hole) & mask_)) {
        slots_[hole] = slots_[next];
        hole = next;
      }
    }
    slots_[hole].entry.number = kNothing;
    --size_;
  }
  /// Room for so many without growing.
  void reserve(std::size_t count) {
    std::size_t size = 16;
    while (count * 4 > size * 3) size *= 2;
    if (size > slots_.size()) resize(size);
  }
  std::size_t size_bytes() const { return slots_.size_bytes(); }

 private:
  struct Slot {
    std::uint32_t tag;
    Entry entry;
  };
  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash); }
  std::uint32_t position(std::uint64_t hash, std::uint32_t number) const {
    auto at = tag_of(hash) & mask_;
    while (slots_[at].entry.number != number) at = (at + 1) & mask_;
    return at;
  }
  void put(Slot slot) {
    auto at = slot.tag & mask_;
    while (slots_[at].entry.number != kNothing) at = (at + 1) & mask_;
    slots_[at] = slot;
  }
  void resize(std::size_t size) {
    const auto old = std::move(slots_);
    slots_ = BigArray<Slot>();
    slots_.resize(size);
    std::memset(static_cast<void*>(slots_.data()), 0xff, slots_.size_bytes());  // kNothing everywhere
    mask_ = static_cast<std::uint32_t>(size - 1);
    for (std::size_t at = 0; at < old.size(); ++at) {
      if (old[at].entry.number != kNothing) put(old[at]);
    }
  }

  BigArray<Slot> slots_;
  std::uint32_t mask_ = 0;
  std::size_t size_ = 0;
};

/// Finds things by their numbers; 8 bytes a slot.
using Slots = SlotTable<Numbered>;

/// Texts, each once, named by their places: one look less than a number needs.
class TextPool {
 public:
  explicit TextPool(std::uint64_t seed) : seed_(seed) {}
  std::uint32_t find(std::string_view text) const {
    return slots_.find(hash_text(text, seed_), [&](Numbered place) { return at(place.number) == text; });
  }
  std::uint32_t add(std::string_view text) {
    if (const auto known = find(text); known != kNothing) return known;
    const auto place = arena_.add(text);
    slots_.add(hash_text(text, seed_), {place});
    return place;
  }
  std::string_view at(std::uint32_t place) const { return arena_.at(place); }
  std::size_t size_bytes() const { return arena_.size_bytes() + slots_.size_bytes(); }

 private:
  std::uint64_t seed_;
  TextArena arena_;
  Slots slots_;
};

/// Texts, each once, numbered from 0 in the order they came.
class Interner {
 public:
  explicit Interner(std::uint64_t seed) : seed_(seed) {}
  std::uint32_t find(std::string_view text) const {
    return slots_.find(hash_text(text, seed_), [&](Numbered text_of) { return at(text_of.number) == text; });
  }
  std::uint32_t add(std::string_view text) {
    if (const auto known = find(text); known != kNothing) return known;
    const auto number = static_cast<std::uint32_t>(places_.size());
    places_.push_back(arena_.add(text));
    slots_.add(hash_text(text, seed_), {number});
    return number;
  }
  std::string_view at(std::uint32_t number) const { return arena_.at(places_[number]); }
  std::size_t size() const { return places_.size(); }
  std::size_t size_bytes() const {
    return arena_.size_bytes() + slots_.size_bytes() + places_.capacity() * sizeof(std::uint32_t);
  }

 private:
  std::uint64_t seed_;
  TextArena arena_;
  std::vector<std::uint32_t> places_;
  Slots slots_;
};

}  // namespace intra365::guard
