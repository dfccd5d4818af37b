// The requests of one connection that wait for their reply: where a reply belongs, and when to give up.
// No I/O and no clock of its own: time is handed in.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nats/connection.hpp"

namespace intra365::nats {

/// Slots in one vector with a free list, found by the token in the reply subject: index and generation, so
/// that a late reply to an earlier owner of a slot is recognised. Deadlines lie in a timing wheel of
/// milliseconds. Nothing allocates once the vector has grown to the usual number in flight.
class RequestTable {
 public:
  using Done = Connection::ReplyHandler;
  using Token = std::uint64_t;
  static constexpr std::size_t kTokenChars = 10;
  static constexpr std::size_t kIndexBits = 20;

  RequestTable(std::size_t limit, SteadyTime now);

  /// nullopt when `limit` requests are in flight; `done` is untouched then. The subject is kept, so that a
  /// refusal by the server, which names only the subject, finds its request.
  std::optional<Token> add(std::string_view subject, SteadyTime deadline, Done& done);
  /// Takes the request out, or gives an empty function when it is not waiting any more.
  Done take(Token token);
  /// The oldest request to `subject`.
  Done take_by_subject(std::string_view subject);
  std::vector<Done> take_all();
  /// Everything whose deadline is not after `now`.
  std::vector<Done> take_expired(SteadyTime now);
  /// When `take_expired` should be called next; never later than needed, but possibly earlier.
  std::optional<SteadyTime> next_due() const;
  /// When a request with this deadline may be given up: the end of its millisecond, never early.
  SteadyTime due_time(SteadyTime deadline) const { return time_of(tick_of(deadline)); }
  std::size_t size() const { return size_; }

  static void write_token(Token token, char* out);
  static std::optional<Token> read_token(std::string_view text);

 private:
  static constexpr std::size_t kBuckets =
      4096;  // one per millisecond: longer deadlines go round more than once
  static constexpr std::uint32_t kNone = ~0u;
  static constexpr std::uint64_t kGenerationMask = (std::uint64_t{1} << (kTokenChars * 6 - kIndexBits)) - 1;

  struct Slot {
    Done done;
    std::string subject;
    std::uint64_t generation = 0, order = 0;
    SteadyTime deadline;
    std::uint32_t next = kNone, previous = kNone, bucket = kNone;
    bool waiting = false;
  };

  std::uint64_t tick_of(SteadyTime deadline) const;
  SteadyTime time_of(std::uint64_t tick) const { return epoch_ + std::chrono::milliseconds(tick); }
  Done release(std::uint32_t index);
  void link(std::uint32_t index, std::uint64_t tick);
  void unlink(std::uint32_t index);
  bool occupied(std::size_t bucket) const { return (occupied_[bucket / 64] >> (bucket % 64)) & 1; }

  std::vector<Slot> slots_;
  std::vector<std::uint32_t> free_;
  std::array<std::uint32_t, kBuckets> heads_;
  std::array<std::uint64_t, kBuckets / 64> occupied_{};
  std::size_t limit_, size_ = 0;
  std::uint64_t order_ = 0;
  SteadyTime epoch_;
  std::uint64_t cursor_ = 0;  ///< the last tick that was looked at
};

}  // namespace intra365::nats
