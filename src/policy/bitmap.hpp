// Sets of rules as sparse bitmaps: 64 rules a block, only blocks that hold one. Rules are numbered tier by
// tier, so walking a set upwards meets the highest tier first.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace intra365::policy {

/// A view of one set. Dense sets have a word for every block, sparse ones a sorted list of blocks.
struct Posting {
  const std::uint32_t* blocks = nullptr;
  const std::uint64_t* words = nullptr;
  std::uint32_t size = 0;    ///< blocks that hold a rule
  std::uint32_t cursor = 0;  ///< of whoever walks it
  const std::uint64_t* dense = nullptr;
};

/// Many sets, built together: first all counts, then all members in ascending order.
class PostingLists {
 public:
  /// `upper[set]`: how many members are going to be added at most.
  PostingLists(std::span<const std::uint32_t> upper, std::uint32_t rules);
  PostingLists() = default;
  /// Members of one set come in ascending order; adding one twice is no harm.
  void add(std::uint32_t set, std::uint32_t rule);
  /// Gives large sets their dense form. Once, behind the last `add`.
  void finish();
  Posting operator[](std::uint32_t set) const {
    const auto& list = lists_[set];
    if (list.size == 1) return {&list.block, &list.word, 1, 0, nullptr};
    return {blocks_.data() + list.block, words_.data() + list.block, list.size, 0,
            list.word == kSparse ? nullptr : dense_.data() + list.word};
  }
  std::size_t size() const { return lists_.size(); }

 private:
  static constexpr std::uint64_t kSparse = ~std::uint64_t{0};
  /// A set of one block, which most sets are, stands right here and costs no further cache line.
  struct List {
    std::uint32_t size = 0;
    std::uint32_t block = 0;       ///< of a single block; otherwise where its blocks begin
    std::uint64_t word = kSparse;  ///< of a single block; otherwise where its dense form begins
  };
  std::vector<List> lists_;
  std::vector<std::uint32_t> blocks_;
  std::vector<std::uint64_t> words_, dense_;
  std::uint32_t block_count_ = 0;
};

/// The union of some sets, walked upwards by block; one dimension of a question.
class Lane {
 public:
  void clear() {
    postings_.clear();
    blocks_ = 0;
  }
  void add(const Posting& posting) {
    if (posting.size == 0) return;
    postings_.push_back(posting);
    blocks_ += posting.size;
  }
  void reserve(std::size_t postings) { postings_.reserve(postings); }
  bool empty() const { return postings_.empty(); }
  /// Blocks to visit at most when this lane leads.
  std::uint32_t blocks() const { return blocks_; }
  /// The next block of the union, or false at its end.
  bool next(std::uint32_t& block, std::uint64_t& word);
  /// The union's word at `block`; asked for ascending blocks.
  std::uint64_t at(std::uint32_t block);

 private:
  std::vector<Posting> postings_;
  std::uint32_t blocks_ = 0;
};

}  // namespace intra365::policy
