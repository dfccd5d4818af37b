// How an answer in parts looks over HTTP: Server-Sent Events, or a line of JSON each.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "async/task.hpp"

namespace intra365::services::gateway {

/// The longest that one answer is written.
inline constexpr std::chrono::milliseconds kStreamTime = std::chrono::minutes(5);

/// Tells whoever waits that the gateway is being stopped. Owned by one shard.
struct Stop {
  explicit Stop(const asio::any_io_executor& executor) : begun(executor, SteadyTime::max()) {}
  void begin() {
    stopping = true;
    begun.cancel();
  }
  asio::awaitable<void> wait() {
    boost::system::error_code ignored;
    while (!stopping) co_await begun.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }
  bool stopping = false;
  asio::steady_timer begun;  ///< cancelled then
};

enum class PartsFormat { events, lines };

/// One Server-Sent Event; without an id where that is empty.
std::string event_text(std::string_view name, std::string_view id, std::string_view data);

/// What `Accept` asks for; nullopt: one answer as always.
std::optional<PartsFormat> asked_format(std::string_view accept);
std::string_view content_type(PartsFormat format);

/// `event: part`, `id: n` and the data; or `{"part":n,"data":…}`. JSON stays JSON, other text is text. Fails
/// with `stream.not_text`.
Result<std::string> part_text(PartsFormat format, std::uint64_t number, std::string_view part);
/// The last word: `event: end` with `{"parts":n}`, or `event: error` with the problem; as a line, an object
/// with `end`: `ok` or the error's code.
std::string end_text(PartsFormat format, std::uint64_t parts, const Error* error, std::string_view trace_id);

}  // namespace intra365::services::gateway
