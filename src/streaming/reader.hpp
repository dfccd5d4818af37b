// The asking side of a streamed answer: parts in order, a lost one noticed, and an end with a code.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "base/ids.hpp"
#include "nats/queue.hpp"
#include "streaming/errors.hpp"
#include "streaming/pace.hpp"

namespace intra365::streaming {

struct ReaderOptions {
  int window = 16;                            ///< parts under way at most, 1 to 64
  std::chrono::milliseconds part_timeout{0};  ///< between two parts; 0: only the silence of `pace` counts
  SteadyTime deadline = SteadyTime::max();    ///< of the whole answer
  Pace pace;
};

/// One answer being read. Movable; when it goes before the end, the Mate is told to stop. Owned by one shard,
/// not thread-safe; the connection must outlive it.
class Reader {
 public:
  /// Asks. `request_headers` are those of any call; the header that asks for parts is added.
  static Result<Reader> open(nats::Connection& connection, const MateId& mate, std::string_view subject,
                             std::string_view payload, nats::HeaderBlock request_headers,
                             ReaderOptions options);
  Reader(Reader&&) noexcept = default;
  Reader& operator=(Reader&&) noexcept;
  ~Reader();

  /// The next part; nullopt after the last one when the answer has ended well. Otherwise the error that has
  /// ended it: the Mate's own (`consent.revoked` …), `stream.gap`, `stream.window_exceeded`, `stream.silent`,
  /// `nats.no_responders`, `nats.disconnected`, `nats.timeout` (no part within `part_timeout`) or `deadline`.
  /// An answer that is not in parts is one part. One coroutine at a time.
  Task<std::optional<std::string>> next();
  /// Parts read so far.
  std::uint64_t parts() const;
  /// Tells the Mate to stop.
  void cancel();

 private:
  struct State;
  explicit Reader(std::shared_ptr<State> state) : state_(std::move(state)) {}
  static Task<std::optional<std::string>> take(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace intra365::streaming
