#include "guard/name_sets.hpp"

#include <algorithm>

namespace intra365::guard {

bool NameSets::has(const Set& set, std::uint32_t number) const {
  if (number < kBits) return (set.bits[number / 64] >> (number % 64) & 1) != 0;
  return std::ranges::binary_search(beyond(set), number);
}

bool NameSets::covers(std::uint32_t set_number, std::string_view name) const {
  const auto& set = sets_[set_number];
  while (true) {
    if (const auto number = names_.find(name); number != kNothing && has(set, number)) return true;
    const auto dot = name.rfind('.');
    if (dot == std::string_view::npos) return false;
    name = name.substr(0, dot);
  }
}

std::uint32_t* NameSets::resolve(std::string_view name, std::uint32_t* at, const std::uint32_t* end) const {
  while (at != end) {
    if (const auto number = names_.find(name); number != kNothing) *at++ = number;
    const auto dot = name.rfind('.');
    if (dot != std::string_view::npos) {
      name = name.substr(0, dot);
    } else if (at != end) {
      *at++ = kNothing;
      return at;
    }
  }
  return nullptr;
}

bool NameSets::covers(std::uint32_t set_number, const std::uint32_t*& at) const {
  const auto& set = sets_[set_number];
  bool found = false;
  for (; *at != kNothing; ++at) found = found || has(set, *at);
  ++at;
  return found;
}

std::uint32_t NameSets::add_numbers(std::vector<std::uint32_t> numbers) {
  std::ranges::sort(numbers);
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  const std::string_view content(reinterpret_cast<const char*>(numbers.data()),
                                 numbers.size() * sizeof(std::uint32_t));
  const auto hash = hash_text(content, seed_);
  Set set;
  const auto split = std::ranges::lower_bound(numbers, kBits);
  for (auto one = numbers.begin(); one != split; ++one)
    set.bits[*one / 64] |= std::uint64_t{1} << (*one % 64);
  const std::span far(split, numbers.end());
  const auto known = by_content_.find(hash, [&](Numbered one) {
    return sets_[one.number].bits == set.bits && std::ranges::equal(beyond(sets_[one.number]), far);
  });
  if (known != kNothing) return known;
  set.first_beyond = static_cast<std::uint32_t>(beyond_.size());
  set.beyond = static_cast<std::uint32_t>(far.size());
  beyond_.insert(beyond_.end(), far.begin(), far.end());
  const auto number = static_cast<std::uint32_t>(sets_.size());
  sets_.push_back(set);
  by_content_.add(hash, {number});
  return number;
}

std::uint32_t NameSets::copy_to(NameSets& others, std::uint32_t set_number) const {
  const auto& set = sets_[set_number];
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t bit = 0; bit < kBits; ++bit) {
    if (has(set, bit)) numbers.push_back(others.names_.add(names_.at(bit)));
  }
  for (const auto number : beyond(set)) numbers.push_back(others.names_.add(names_.at(number)));
  return others.add_numbers(std::move(numbers));
}

std::size_t NameSets::size_bytes() const {
  return names_.size_bytes() + sets_.capacity() * sizeof(Set) + beyond_.capacity() * sizeof(std::uint32_t) +
         by_content_.size_bytes();
}

}  // namespace intra365::guard
