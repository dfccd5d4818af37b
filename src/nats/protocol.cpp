#include "nats/protocol.hpp"

#include <charconv>
#include <string>

namespace intra365::nats::protocol {
namespace {

/// Digits only, so that signs, blanks and hexadecimal are refused.
bool read_number(std::string_view text, std::uint64_t& value) {
  if (text.empty()) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

/// What may be shown of bytes that made no sense.
std::string printable(std::string_view text) {
  constexpr std::size_t kShown = 48;
  std::string shown;
  for (const char c : text.substr(0, kShown)) shown += c >= ' ' && c < 127 ? c : '.';
  if (text.size() > kShown) shown += "...";
  return shown;
}

char* put(char* at, std::string_view text) {
  if (!text.empty()) std::memcpy(at, text.data(), text.size());
  return at + text.size();
}
char* put(char* at, std::uint64_t number) {
  return std::to_chars(at, at + 20, number).ptr;
}

}  // namespace

Step Parser::next(std::string_view bytes, Event& out, std::size_t& used) {
  if (error_) return Step::failed;
  if (!in_body_) {
    const auto step = read_line(bytes, out, used);
    if (step != Step::more || !in_body_) return step;
  }
  return read_body(bytes, out, used);
}

Step Parser::read_line(std::string_view bytes, Event& out, std::size_t& used) {
  const auto* const newline =
      bytes.size() > scanned_
          ? static_cast<const char*>(std::memchr(bytes.data() + scanned_, '\n', bytes.size() - scanned_))
          : nullptr;
  const std::size_t length = newline ? static_cast<std::size_t>(newline - bytes.data()) : bytes.size();
  if (length > limits_.max_line_bytes)
    return broken("a line is longer than " + std::to_string(limits_.max_line_bytes) + " bytes", bytes);
  if (!newline) {
    scanned_ = bytes.size();
    needed_ = scanned_ + 1;
    return Step::more;
  }
  if (length == 0 || bytes[length - 1] != '\r')
    return broken("a line does not end in CR LF", bytes.substr(0, length));
  scanned_ = 0;
  body_at_ = length + 1;
  const auto line = bytes.substr(0, length - 1);
  if (line.starts_with("MSG ")) return read_message_line(line, false);
  if (line.starts_with("HMSG ")) return read_message_line(line, true);
  used = body_at_;
  needed_ = 1;
  return read_control(line, out);
}

Step Parser::read_control(std::string_view line, Event& out) {
  out.message = {};
  out.text = {};
  const auto is = [&](EventKind kind) {
    out.kind = kind;
    return Step::event;
  };
  if (line == "PING") return is(EventKind::ping);
  if (line == "PONG") return is(EventKind::pong);
  if (line == "+OK") return is(EventKind::ok);
  if (line.starts_with("INFO ")) {
    out.text = line.substr(5);
    return is(EventKind::info);
  }
  if (line.starts_with("-ERR")) {
    auto text = line.substr(4);
    while (!text.empty() && (text.front() == ' ' || text.front() == '\'')) text.remove_prefix(1);
    if (!text.empty() && text.back() == '\'') text.remove_suffix(1);
    out.text = text;
    return is(EventKind::error);
  }
  return broken("an unknown line", line);
}

/// `MSG subject sid [reply] total` and `HMSG subject sid [reply] headers total`.
Step Parser::read_message_line(std::string_view line, bool with_headers) {
  Span tokens[6];
  std::size_t count = 0;
  for (std::size_t at = with_headers ? 5 : 4; at < line.size();) {
    if (line[at] == ' ') {
      ++at;
      continue;
    }
    const auto* const blank = static_cast<const char*>(std::memchr(line.data() + at, ' ', line.size() - at));
    const std::size_t end = blank ? static_cast<std::size_t>(blank - line.data()) : line.size();
    if (count == std::size(tokens)) return broken("a message line has too many parts", line);
    tokens[count++] = {at, end - at};
    at = end;
  }
  const std::size_t least = with_headers ? 4 : 3;
  if (count != least && count != least + 1)
    return broken("a message line has the wrong number of parts", line);

  std::uint64_t total = 0, headers = 0;
  if (!read_number(tokens[1].of(line), subscription_) || !read_number(tokens[count - 1].of(line), total) ||
      (with_headers && !read_number(tokens[count - 2].of(line), headers)))
    return broken("a message line has something that is not a number", line);
  if (total > limits_.max_message_bytes)
    return broken("a message is larger than " + std::to_string(limits_.max_message_bytes) + " bytes", line);
  if (headers > total) return broken("a message has more headers than bytes", line);

  subject_ = tokens[0];
  reply_ = count > least ? tokens[2] : Span{};
  header_size_ = headers;
  total_size_ = total;
  needed_ = body_at_ + total + 2;
  in_body_ = true;
  return Step::more;
}

Step Parser::read_body(std::string_view bytes, Event& out, std::size_t& used) {
  if (bytes.size() < needed_) return Step::more;
  if (bytes[needed_ - 2] != '\r' || bytes[needed_ - 1] != '\n')
    return broken("a message does not end where its size says");
  const auto body = bytes.substr(body_at_, total_size_);
  out.kind = EventKind::message;
  out.message.subject = subject_.of(bytes);
  out.message.reply = reply_.of(bytes);
  out.message.headers = HeaderView(body.substr(0, header_size_));
  out.message.payload = body.substr(header_size_);
  out.message.subscription = subscription_;
  used = needed_;
  needed_ = 1;
  in_body_ = false;
  return Step::event;
}

Step Parser::broken(std::string_view why, std::string_view line) {
  std::string detail(why);
  if (!line.empty()) detail += ": '" + printable(line) + "'";
  error_.emplace(errors::protocol, std::move(detail));
  return Step::failed;
}

void append_publish(Buffer& out, std::string_view subject, std::string_view reply, std::string_view headers,
                    std::string_view payload) {
  const std::size_t total = headers.size() + payload.size();
  char* const start = out.prepare(subject.size() + reply.size() + total + kCommandOverheadBytes);
  char* at = put(start, headers.empty() ? std::string_view("PUB ") : std::string_view("HPUB "));
  at = put(at, subject);
  *at++ = ' ';
  if (!reply.empty()) {
    at = put(at, reply);
    *at++ = ' ';
  }
  if (!headers.empty()) {
    at = put(at, headers.size());
    *at++ = ' ';
  }
  at = put(at, total);
  at = put(at, std::string_view("\r\n"));
  at = put(at, headers);
  at = put(at, payload);
  at = put(at, std::string_view("\r\n"));
  out.commit(static_cast<std::size_t>(at - start));
}

void append_subscribe(Buffer& out, std::string_view subject, std::string_view queue_group,
                      std::uint64_t subscription) {
  char* const start = out.prepare(subject.size() + queue_group.size() + kCommandOverheadBytes);
  char* at = put(put(start, std::string_view("SUB ")), subject);
  *at++ = ' ';
  if (!queue_group.empty()) {
    at = put(at, queue_group);
    *at++ = ' ';
  }
  at = put(put(at, subscription), std::string_view("\r\n"));
  out.commit(static_cast<std::size_t>(at - start));
}

void append_unsubscribe(Buffer& out, std::uint64_t subscription, std::uint64_t max) {
  char* const start = out.prepare(kCommandOverheadBytes);
  char* at = put(put(start, std::string_view("UNSUB ")), subscription);
  if (max != 0) {
    *at++ = ' ';
    at = put(at, max);
  }
  at = put(at, std::string_view("\r\n"));
  out.commit(static_cast<std::size_t>(at - start));
}

}  // namespace intra365::nats::protocol
