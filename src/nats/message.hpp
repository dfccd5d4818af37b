// A message as it arrives and as it leaves, and the header block between.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace intra365::nats {

/// Header names compare case-insensitively in ASCII.
bool same_header_name(std::string_view a, std::string_view b);

/// Received headers: a read-only multimap over the bytes of the message; values are trimmed. Cheap to copy,
/// valid as long as the message.
class HeaderView {
 public:
  HeaderView() = default;
  explicit HeaderView(std::string_view block) : block_(block) {}  ///< begins with "NATS/1.0"
  /// The first value of `name`; empty when there is none.
  std::string_view get(std::string_view name) const;
  bool contains(std::string_view name) const;
  std::vector<std::string_view> get_all(std::string_view name) const;
  std::vector<std::pair<std::string_view, std::string_view>> all() const;
  /// Takes the next header off `rest`, which begins as `block()`; false at the end. One pass over all headers
  /// is cheaper than a `get` for each.
  static bool next(std::string_view& rest, std::string_view& name, std::string_view& value);
  /// Inline status of control messages ("NATS/1.0 503 No Responders"): 503, or 0 when there is none.
  int status() const;
  std::string_view status_text() const;
  std::string_view block() const { return block_; }
  bool empty() const { return block_.empty(); }

 private:
  std::string_view block_;
};

/// Headers to send, formatted once: build it, keep it, send it many times. A name or value with CR, LF or
/// (names) a colon or space is refused by `add` returning false, so that nothing can be smuggled in.
class HeaderBlock {
 public:
  bool add(std::string_view name, std::string_view value);
  bool empty() const { return text_.empty(); }
  /// "NATS/1.0\r\n…\r\n\r\n", or empty.
  std::string_view text() const { return text_; }

 private:
  std::string text_;
};

/// What a message without headers is sent with. As a default argument it outlives every task, which a
/// temporary would not: tasks begin when they are awaited.
inline const HeaderBlock no_headers;

/// A message valid only during the call that hands it over.
struct MessageView {
  std::string_view subject;
  std::string_view reply;
  HeaderView headers;
  std::string_view payload;
  std::uint64_t subscription = 0;
};

/// A message that owns its bytes.
class Message {
 public:
  Message() = default;
  explicit Message(const MessageView& view);
  std::string_view subject() const { return part(0, subject_); }
  std::string_view reply() const { return part(subject_, reply_); }
  HeaderView headers() const { return HeaderView(part(subject_ + reply_, headers_)); }
  std::string_view payload() const { return std::string_view(bytes_).substr(subject_ + reply_ + headers_); }
  MessageView view() const { return {subject(), reply(), headers(), payload()}; }

 private:
  std::string_view part(std::size_t at, std::size_t size) const {
    return std::string_view(bytes_).substr(at, size);
  }
  std::string bytes_;
  std::size_t subject_ = 0, reply_ = 0, headers_ = 0;
};

}  // namespace intra365::nats
