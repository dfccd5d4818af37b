#include "nats/message.hpp"

#include <algorithm>

namespace intra365::nats {
namespace {

constexpr std::string_view kVersionLine = "NATS/1.0";
constexpr std::string_view kLineEnd = "\r\n";

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r'))
    text.remove_suffix(1);
  return text;
}

/// Takes the next line off `rest`, without its line end.
std::string_view take_line(std::string_view& rest) {
  const auto end = rest.find('\n');
  auto line = rest.substr(0, end);
  rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

/// `NATS/1.0`, alone or with a status behind it. A header's name has no blank, so none is mistaken for it.
bool is_version_line(std::string_view line) {
  return line.starts_with(kVersionLine) &&
         (line.size() == kVersionLine.size() || line[kVersionLine.size()] == ' ');
}

}  // namespace

bool same_header_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

/// Lines that are no header are skipped: another client wrote them, and they must not harm the connection.
bool HeaderView::next(std::string_view& rest, std::string_view& name, std::string_view& value) {
  while (!rest.empty()) {
    const auto line = take_line(rest);
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || colon == 0 || is_version_line(line)) continue;
    name = line.substr(0, colon);
    value = trim(line.substr(colon + 1));
    return true;
  }
  return false;
}

std::string_view HeaderView::get(std::string_view wanted) const {
  std::string_view rest = block_, name, value;
  while (next(rest, name, value)) {
    if (same_header_name(name, wanted)) return value;
  }
  return {};
}

bool HeaderView::contains(std::string_view wanted) const {
  std::string_view rest = block_, name, value;
  while (next(rest, name, value)) {
    if (same_header_name(name, wanted)) return true;
  }
  return false;
}

std::vector<std::string_view> HeaderView::get_all(std::string_view wanted) const {
  std::vector<std::string_view> values;
  for (const auto& [name, value] : all()) {
    if (same_header_name(name, wanted)) values.push_back(value);
  }
  return values;
}

std::vector<std::pair<std::string_view, std::string_view>> HeaderView::all() const {
  std::vector<std::pair<std::string_view, std::string_view>> headers;
  std::string_view rest = block_, name, value;
  while (next(rest, name, value)) headers.emplace_back(name, value);
  return headers;
}

int HeaderView::status() const {
  if (!block_.starts_with(kVersionLine)) return 0;
  const auto digits = block_.substr(kVersionLine.size());
  if (digits.size() < 4 || digits[0] != ' ') return 0;
  int status = 0;
  for (std::size_t i = 1; i <= 3; ++i) {
    if (digits[i] < '0' || digits[i] > '9') return 0;
    status = status * 10 + (digits[i] - '0');
  }
  return status;
}

std::string_view HeaderView::status_text() const {
  if (status() == 0) return {};
  auto rest = block_;
  return trim(take_line(rest).substr(kVersionLine.size() + 4));
}

bool HeaderBlock::add(std::string_view name, std::string_view value) {
  const auto name_char = [](char c) { return c > ' ' && c < 127 && c != ':'; };
  const auto value_char = [](char c) { return static_cast<unsigned char>(c) >= ' ' ? c != 127 : c == '\t'; };
  if (name.empty() || !std::all_of(name.begin(), name.end(), name_char)) return false;
  if (!std::all_of(value.begin(), value.end(), value_char)) return false;
  if (text_.empty()) {
    text_.append(kVersionLine).append(kLineEnd);
  } else {
    text_.resize(text_.size() - kLineEnd.size());  // the empty line that ended the block so far
  }
  text_.append(name).append(": ").append(value).append(kLineEnd).append(kLineEnd);
  return true;
}

Message::Message(const MessageView& view)
    : subject_(view.subject.size()), reply_(view.reply.size()), headers_(view.headers.block().size()) {
  bytes_.reserve(subject_ + reply_ + headers_ + view.payload.size());
  bytes_.append(view.subject).append(view.reply).append(view.headers.block()).append(view.payload);
}

}  // namespace intra365::nats
