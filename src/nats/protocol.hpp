// The NATS client protocol without I/O: bytes in, events out; commands in, bytes out.
// Nothing here allocates per message, and everything a server may send has a limit.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include "nats/buffer.hpp"
#include "nats/errors.hpp"
#include "nats/message.hpp"

namespace intra365::nats::protocol {

struct Limits {
  std::size_t max_line_bytes = 64u << 10;
  std::size_t max_message_bytes = 64u << 20;  ///< headers and payload together
};

enum class EventKind : std::uint8_t { message, ping, pong, ok, info, error };

struct Event {
  EventKind kind{};
  MessageView message;    ///< of `message`
  std::string_view text;  ///< the JSON of `info`, the text of `error` without its quotes
};

enum class Step : std::uint8_t { event, more, failed };

/// Takes one event after the other off the front of a byte stream. The caller keeps the bytes in one piece,
/// drops what `next` reports as used, and appends to the rest; the rest may move in memory between calls.
/// What was looked at once is not looked at again when more bytes arrive.
class Parser {
 public:
  explicit Parser(Limits limits) : limits_(limits) {}

  /// `event`: `out` views into `bytes`, and `used` bytes are done with. `more`: at least `needed()` bytes are
  /// wanted. `failed`: the stream is broken for good, `error()` says why.
  Step next(std::string_view bytes, Event& out, std::size_t& used);
  /// How many bytes must be there before `next` can make progress.
  std::size_t needed() const { return needed_; }
  const Error& error() const { return *error_; }

 private:
  struct Span {
    std::size_t at = 0, size = 0;
    std::string_view of(std::string_view bytes) const { return bytes.substr(at, size); }
  };
  Step read_line(std::string_view bytes, Event& out, std::size_t& used);
  Step read_control(std::string_view line, Event& out);
  Step read_message_line(std::string_view line, bool with_headers);
  Step read_body(std::string_view bytes, Event& out, std::size_t& used);
  Step broken(std::string_view why, std::string_view line = {});

  Limits limits_;
  std::size_t scanned_ = 0;  ///< bytes of the unfinished line that hold no line end
  std::size_t needed_ = 1;
  bool in_body_ = false;
  Span subject_, reply_;
  std::uint64_t subscription_ = 0;
  std::size_t header_size_ = 0, total_size_ = 0, body_at_ = 0;
  std::optional<Error> error_;
};

/// What encoding needs at most beside the caller's own texts: verbs, numbers, blanks and line ends.
inline constexpr std::size_t kCommandOverheadBytes = 80;

void append_publish(Buffer& out, std::string_view subject, std::string_view reply, std::string_view headers,
                    std::string_view payload);
void append_subscribe(Buffer& out, std::string_view subject, std::string_view queue_group,
                      std::uint64_t subscription);
/// `max` 0: at once.
void append_unsubscribe(Buffer& out, std::uint64_t subscription, std::uint64_t max = 0);

}  // namespace intra365::nats::protocol
