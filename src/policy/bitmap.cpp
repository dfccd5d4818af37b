#include "policy/bitmap.hpp"

#include <algorithm>

namespace intra365::policy {

PostingLists::PostingLists(std::span<const std::uint32_t> upper, std::uint32_t rules)
    : lists_(upper.size()), block_count_((rules + 63) / 64) {
  std::uint32_t total = 0;
  for (std::size_t i = 0; i < upper.size(); ++i) {
    lists_[i].block = total;
    total += std::min(upper[i], block_count_);
  }
  blocks_.resize(total);
  words_.resize(total);
}

void PostingLists::add(std::uint32_t set, std::uint32_t rule) {
  auto& list = lists_[set];
  const auto block = rule / 64;
  const auto bit = std::uint64_t{1} << (rule % 64);
  const auto last = list.block + list.size - 1;
  if (list.size > 0 && blocks_[last] == block) {
    words_[last] |= bit;
    return;
  }
  blocks_[last + 1] = block;
  words_[last + 1] = bit;
  ++list.size;
}

void PostingLists::finish() {
  for (auto& list : lists_) {
    const auto begin = list.block;
    if (list.size == 1) {
      list.block = blocks_[begin];
      list.word = words_[begin];
    } else if (list.size >= 16 && list.size >= block_count_ / 8) {
      list.word = dense_.size();
      dense_.resize(dense_.size() + block_count_);
      for (std::uint32_t i = 0; i < list.size; ++i)
        dense_[list.word + blocks_[begin + i]] = words_[begin + i];
    }
  }
}

bool Lane::next(std::uint32_t& block, std::uint64_t& word) {
  block = 0xffff'ffff;
  for (const auto& posting : postings_) {
    if (posting.cursor < posting.size) block = std::min(block, posting.blocks[posting.cursor]);
  }
  if (block == 0xffff'ffff) return false;
  word = 0;
  for (auto& posting : postings_) {
    if (posting.cursor < posting.size && posting.blocks[posting.cursor] == block)
      word |= posting.words[posting.cursor++];
  }
  return true;
}

std::uint64_t Lane::at(std::uint32_t block) {
  std::uint64_t word = 0;
  for (auto& posting : postings_) {
    if (posting.dense != nullptr) {
      word |= posting.dense[block];
      continue;
    }
    if (posting.cursor < posting.size && posting.blocks[posting.cursor] < block) {
      // Gallop, then halve: the lane that leads may be far ahead.
      std::uint32_t low = posting.cursor, step = 1;
      while (low + step < posting.size && posting.blocks[low + step] < block) {
        low += step;
        step *= 2;
      }
      const auto* end = posting.blocks + std::min(low + step, posting.size);
      posting.cursor =
          static_cast<std::uint32_t>(std::lower_bound(posting.blocks + low + 1, end, block) - posting.blocks);
    }
    if (posting.cursor < posting.size && posting.blocks[posting.cursor] == block)
      word |= posting.words[posting.cursor];
  }
  return word;
}

}  // namespace intra365::policy
