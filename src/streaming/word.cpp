#include "streaming/word.hpp"

#include <charconv>

#include "contract/headers.hpp"
#include "streaming/pace.hpp"

namespace intra365::streaming {
namespace {

std::optional<std::uint64_t> read_number(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return number;
}

}  // namespace

Word read_word(const nats::HeaderView& headers) {
  if (headers.status() == 503) return {Word::Kind::nobody, 0};
  const bool ends = headers.contains(headers::stream_end);
  if (!ends && !headers.contains(headers::stream_part)) return {};
  const auto number = read_number(headers.get(headers::stream_part));
  if (!number) return {Word::Kind::broken, 0};
  if (ends) return {Word::Kind::end, *number};
  return {*number == 0 ? Word::Kind::heartbeat : Word::Kind::part, *number};
}

Control read_control(const nats::HeaderView& headers) {
  if (headers.status() == 503) return {Control::Kind::gone, 0};
  if (headers.contains(headers::stream_cancel)) return {Control::Kind::cancel, 0};
  const auto taken = read_number(headers.get(headers::stream_taken));
  if (!taken) return {};
  return {Control::Kind::taken, *taken};
}

std::optional<int> read_window(const nats::HeaderView& headers) {
  const auto window = read_number(headers.get(headers::stream));
  if (!window || *window < 1 || *window > kMaxWindow) return std::nullopt;
  return static_cast<int>(*window);
}

}  // namespace intra365::streaming
