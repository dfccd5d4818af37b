// Which changes may be worked on now: those of one key one after the other, those of different keys at the
// same time. Pure: no I/O, no clock.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>

namespace intra365::cdc {

/// Owned by one consumer; not thread-safe.
class KeyedOrder {
 public:
  /// The next change of the stream; sequences grow.
  void add(std::uint64_t sequence, std::string key);
  struct Due {
    std::uint64_t sequence = 0;
    std::string key;
  };
  /// One whose key nobody works on, the oldest first; it is being worked on until `done`.
  std::optional<Due> next();
  /// It was handled, or set aside.
  void done(const Due& due);

  /// Everything up to this sequence is done with.
  std::uint64_t settled() const { return open_.empty() ? last_ : *open_.begin() - 1; }
  /// The stream was read up to here, whatever of it was of interest.
  void passed(std::uint64_t sequence) { last_ = sequence; }
  std::size_t in_hand() const { return open_.size(); }

 private:
  std::unordered_map<std::string, std::deque<std::uint64_t>>
      waiting_;                                 ///< by key; the first may be worked on
  std::map<std::uint64_t, std::string> ready_;  ///< first of a key that nobody works on
  std::set<std::uint64_t> open_;                ///< not done with
  std::uint64_t last_ = 0;
};

}  // namespace intra365::cdc
