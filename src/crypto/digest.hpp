// A digest of bytes that come in pieces.
#pragma once
#include <memory>
#include <string>
#include <string_view>

namespace intra365::crypto {

/// SHA-256 over everything given to `add`. Movable; `finish` may be called once.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  void add(std::string_view bytes);
  std::string finish();  ///< 32 raw bytes

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace intra365::crypto
