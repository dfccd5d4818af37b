// Growing byte buffers for the two directions of a connection. Unlike std::string they never fill memory
// with zeros before it is written, and they give memory back after an unusually large message.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace intra365::nats {

/// Bytes between a front that is consumed and a back that is appended to. Owned by one link.
class Buffer {
 public:
  static constexpr std::size_t kUsualBytes = 64u << 10;
  /// Above this an empty buffer is given back instead of kept.
  static constexpr std::size_t kKeepBytes = 4u << 20;

  std::string_view view() const { return {bytes_.get() + begin_, end_ - begin_}; }
  std::size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }

  /// Room for at least `count` more bytes; they count only after `commit`. Moves what is unread to the front
  /// before it grows, so that views into the buffer end with this call.
  char* prepare(std::size_t count) {
    if (capacity_ - end_ < count) make_room(count);
    return bytes_.get() + end_;
  }
  std::size_t room() const { return capacity_ - end_; }
  void commit(std::size_t count) { end_ += count; }
  void append(std::string_view text) {
    if (text.empty()) return;
    std::memcpy(prepare(text.size()), text.data(), text.size());
    end_ += text.size();
  }

  /// Drops `count` bytes from the front; views stay valid until the next `prepare` or `clear`.
  void consume(std::size_t count) { begin_ += count; }
  /// Starts over at the front when everything was consumed.
  void rewind() {
    if (!empty()) return;
    clear();
  }
  void clear() {
    begin_ = end_ = 0;
    if (capacity_ > kKeepBytes) bytes_.reset(), capacity_ = 0;
  }
  void swap(Buffer& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(capacity_, other.capacity_);
    std::swap(begin_, other.begin_);
    std::swap(end_, other.end_);
  }

 private:
  void make_room(std::size_t count) {
    const std::size_t used = size();
    if (capacity_ >= used + count) {
      std::memmove(bytes_.get(), bytes_.get() + begin_, used);
    } else {
      const std::size_t capacity = std::max({kUsualBytes, used + count, capacity_ * 2});
      std::unique_ptr<char[]> grown(new char[capacity]);
      if (used != 0) std::memcpy(grown.get(), bytes_.get() + begin_, used);
      bytes_ = std::move(grown);
      capacity_ = capacity;
    }
    begin_ = 0;
    end_ = used;
  }

  std::unique_ptr<char[]> bytes_;
  std::size_t capacity_ = 0, begin_ = 0, end_ = 0;
};

}  // namespace intra365::nats
