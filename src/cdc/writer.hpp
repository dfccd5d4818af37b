// The end of the change stream. Batches are stored there one behind the other, several under way at once, by
// one writer at a time: the server refuses a batch where another has taken over since, and where the one in
// front of it is not there.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "cdc/batcher.hpp"
#include "nats/jetstream.hpp"

namespace intra365::cdc {

/// Owned by one feed; not thread-safe. The JetStream outlives it and the batches that are under way.
class Writer {
 public:
  struct Options {
    std::string stream, subject_prefix, slot;
  };
  /// Hears of each batch that has ended: how many changes are stored with it, or why it is not. Not called
  /// once the writer has gone.
  using Ended = std::function<void(const Result<std::size_t>& changes)>;
  Writer(nats::JetStream& jetstream, Options options, Ended ended);
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  /// `<prefix>.<kind>.<slot>`
  std::string subject(std::string_view kind) const;

  /// From here on nobody writes but this one, and what failed before is forgotten. Only with nothing under
  /// way. Fails with `cdc.stream_full` and what JetStream fails with.
  Task<> take_over();
  /// The stream forgets what is old, even the mark of who has taken over: writes it again. Only with nothing
  /// under way.
  Task<> renew_mark();
  /// The last cursor in the stream; nullopt when it has none yet.
  Task<std::optional<Cursor>> read_cursor();
  /// Of the last cursor in the stream, those under way counted in; 0: there is none.
  std::uint64_t cursor_sequence() const;

  /// Begins to store a batch behind all others.
  void launch(Batch batch);
  std::size_t in_flight() const;
  /// Waits until one of those under way has ended, a second at most.
  asio::awaitable<void> wait();
  /// Waits until none is under way. Fails as `check` does.
  Task<> settle();
  /// Fails with the first failure since `take_over`: what was launched behind it is not stored either.
  Result<void> check() const;
  /// What may be confirmed: the end of the last batch that is stored with all in front of it since
  /// `take_over`.
  postgres::Lsn stored() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace intra365::cdc
