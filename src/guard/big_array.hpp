// An array that grows to gigabytes without being copied: the system moves its pages, and large ones are asked
// for, because an index that is looked up at random otherwise waits for the page table as long as for the
// data.
#pragma once
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

namespace intra365::guard {

/// Owned like a vector. New elements are zeroed bytes unless they are given.
template <class T>
class BigArray {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

 public:
  BigArray() = default;
  BigArray(BigArray&& other) noexcept { swap(other); }
  BigArray& operator=(BigArray&& other) noexcept {
    BigArray gone(std::move(other));
    swap(gone);
    return *this;
  }
  ~BigArray() { release(data_, capacity_bytes_); }

  T& operator[](std::size_t at) { return data_[at]; }
  const T& operator[](std::size_t at) const { return data_[at]; }
  const T* data() const { return data_; }
  T* data() { return data_; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::size_t size_bytes() const { return size_ * sizeof(T); }

  void push_back(const T& value) {
    const T copy = value;
    resize(size_ + 1);
    data_[size_ - 1] = copy;
  }
  void resize(std::size_t size) {
    if (size * sizeof(T) > capacity_bytes_) grow(size * sizeof(T));
    size_ = size;
  }

 private:
  static constexpr std::size_t kMapped = std::size_t{4} << 20;  ///< from here on, pages of our own
  static constexpr std::size_t kSmallest = 1024;

  void swap(BigArray& other) {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_bytes_, other.capacity_bytes_);
  }
  static void release(T* data, std::size_t bytes) {
    if (bytes >= kMapped)
      ::munmap(data, bytes);
    else
      std::free(data);
  }
  void grow(std::size_t need) {
    auto bytes = capacity_bytes_ == 0 ? kSmallest : capacity_bytes_;
    while (bytes < need) bytes *= 2;
    void* memory;
    if (bytes < kMapped) {
      memory = std::aligned_alloc(64, bytes);
      if (memory == nullptr) throw std::bad_alloc();
      std::memset(memory, 0, bytes);
      if (data_ != nullptr) std::memcpy(memory, data_, size_ * sizeof(T));
      std::free(data_);
    } else if (capacity_bytes_ >= kMapped) {
      memory = ::mremap(data_, capacity_bytes_, bytes, MREMAP_MAYMOVE);
      if (memory == MAP_FAILED) throw std::bad_alloc();
      ::madvise(memory, bytes, MADV_HUGEPAGE);
    } else {
      memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) throw std::bad_alloc();
      ::madvise(memory, bytes, MADV_HUGEPAGE);
      if (data_ != nullptr) std::memcpy(memory, data_, size_ * sizeof(T));
      std::free(data_);
    }
    data_ = static_cast<T*>(memory);
    capacity_bytes_ = bytes;
  }

  T* data_ = nullptr;
  std::size_t size_ = 0, capacity_bytes_ = 0;
};

}  // namespace intra365::guard
