// Memory for the temporaries of evaluations: handed out in order, taken back all at once, kept for the next
// time.
#pragma once
#include <cstddef>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <vector>

namespace intra365::cel {

/// One per thread, kept between evaluations: then none allocates once it has grown. Values of an evaluation
/// live until the next `reset`.
class Arena {
 public:
  explicit Arena(std::size_t limit = 16u << 20) : limit_(limit) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void reset() {
    block_ = at_ = used_ = 0;
    exhausted_ = false;
  }
  /// Memory for `bytes`, aligned for any value. Behind the limit it is given all the same, up to twice, and
  /// `exhausted` says so: whoever evaluates looks there after every step.
  char* take(std::size_t bytes) {
    bytes = (bytes + 15) & ~std::size_t{15};
    used_ += bytes;
    if (used_ > limit_) exhausted_ = true;
    while (block_ < blocks_.size()) {
      if (blocks_[block_].size - at_ >= bytes) {
        char* const memory = blocks_[block_].memory.get() + at_;
        at_ += bytes;
        return memory;
      }
      ++block_;
      at_ = 0;
    }
    const std::size_t size = std::max<std::size_t>(bytes, kBlockBytes);
    blocks_.push_back({std::unique_ptr<char[]>(new char[size]), size});
    at_ = bytes;
    return blocks_.back().memory.get();
  }
  template <class T>
  T* make(std::size_t count) {
    T* const begin = reinterpret_cast<T*>(take(count * sizeof(T)));
    for (std::size_t i = 0; i < count; ++i) new (begin + i) T();
    return begin;
  }
  std::string_view copy(std::string_view text) {
    char* const memory = take(text.size());
    if (!text.empty()) std::memcpy(memory, text.data(), text.size());
    return {memory, text.size()};
  }
  bool fits(std::size_t bytes) const { return used_ + bytes <= limit_; }
  bool exhausted() const { return exhausted_; }

 private:
  static constexpr std::size_t kBlockBytes = 16u << 10;
  struct Block {
    std::unique_ptr<char[]> memory;
    std::size_t size;
  };
  std::vector<Block> blocks_;
  std::size_t block_ = 0, at_ = 0, used_ = 0, limit_;
  bool exhausted_ = false;
};

}  // namespace intra365::cel
