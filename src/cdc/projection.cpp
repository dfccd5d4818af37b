#include "cdc/projection.hpp"

#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "cdc/following.hpp"
#include "json/json.hpp"
#include "nats/errors.hpp"

namespace intra365::cdc {
namespace {

constexpr std::string_view kMark = "_projected";  ///< no entry's key: those have a dot
constexpr auto kIdle = std::chrono::milliseconds(500);
constexpr auto kLookAtStream = std::chrono::seconds(2);
/// Of the mark alone, where rows change and their entries do not.
constexpr auto kMarkPause = std::chrono::seconds(2);
constexpr std::size_t kMostKnown = 1'000'000;  ///< entries whose value is remembered
constexpr std::size_t kRemovedAtOnce = 500;

struct Mark {
  std::uint64_t sequence = 0;
  std::string stream;  ///< when it was made: one that was made anew counts from the beginning
};
BOOST_DESCRIBE_STRUCT(Mark, (), (sequence, stream))

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

}  // namespace

struct Projection::Impl {
  Impl(nats::JetStream& jetstream, ProjectionOptions options, Tell tell)
      : jetstream(jetstream),
        options(std::move(options)),
        tell(std::move(tell)),
        bucket(jetstream, this->options.bucket) {}

  void say(std::string_view event, std::string_view detail) const {
    if (tell) tell(event, detail);
  }

  Task<> run() {
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    std::string last_failure;
    while (cancelled.cancelled() == asio::cancellation_type::none) {
      const auto ended = co_await contain(run_once());
      if (cancelled.cancelled() != asio::cancellation_type::none) break;
      if (!ended && ended.error().is(nats::errors::wrong_revision)) {
        co_await contain(wait_until_still(bucket, std::string(kMark), options.stand_by));
        continue;
      }
      const auto words = ended ? std::string() : ended.error().code + ": " + ended.error().detail;
      if (!words.empty() && words != std::exchange(last_failure, words)) say("failed", words);
      co_await sleep_for(options.retry_pause);
    }
    co_return Result<void>{};
  }

  Task<> run_once() {
    nats::BucketConfig config;
    config.name = options.bucket;
    config.allow_atomic = true;
    CO_CHECK(co_await nats::KeyValue::ensure(jetstream, config));
    CO_CHECK(co_await find_place());

    const Followed followed{options.stream, options.subject_prefix, options.slot, options.tables};
    auto reading = followed.reading(place + 1, {"cursor"});
    nats::OrderedConsumer consumer(jetstream, options.stream, std::move(reading));
    CO_CHECK(co_await consumer.start());

    TransactionAssembler::Options assembling;
    assembling.slot = options.slot;
    assembling.subject_prefix = options.subject_prefix;
    assembling.max_bytes = options.max_transaction_bytes;
    TransactionAssembler assembler(std::move(assembling));
    auto look_at = now() + kLookAtStream;
    for (;;) {
      if (now() >= look_at) {
        CO_CHECK(co_await expect_same_stream(jetstream, options.stream, stream_made_at));
        look_at = now() + kLookAtStream;
      }
      auto delivered = co_await consumer.next(now() + kIdle);
      const bool is_idle = !delivered && delivered.error().is(nats::errors::timeout);
      if (!delivered && !is_idle) co_return fail(std::move(delivered).error());
      if (is_idle || !*delivered) {
        CO_CHECK(co_await write());
        continue;
      }
      CO_CHECK(take(assembler, **delivered));
      // While the stream is read from its store, batches fill; a change that comes alone is written at once.
      if (changes.size() >= options.max_entries || (is_whole && (*delivered)->pending == 0))
        CO_CHECK(co_await write());
      if (snapshot_ended) CO_CHECK(co_await remove_what_is_not_in_the_snapshot());
    }
  }

  /// Where the bucket is in the stream. A stream that was made anew tells everything from its beginning.
  Task<> find_place() {
    place = written = mark_revision = 0;
    changes.clear();
    order.clear();
    known.clear();
    in_snapshot.reset();
    snapshot_ended = false;
    mark_due = {};
    CO_TRY(const auto mark, co_await bucket.get(kMark));
    CO_TRY(const auto stream, co_await jetstream.stream_info(options.stream));
    stream_made_at = stream.state.created;
    if (mark) {
      CO_TRY(const auto body, json::decode<Mark>(mark->value, json::Unknown::ignore));
      if (body.stream == stream_made_at) place = body.sequence;
      mark_revision = mark->revision;
    }
    const auto& state = stream.state;
    if (state.first_seq > place + 1 && state.last_seq > place) {
      ++statistics.gaps;
      say("gap", "the stream has forgotten what the bucket has not seen; the next snapshot puts it right");
    }
    written = statistics.sequence = place;
    co_return Result<void>{};
  }

  /// Takes the next message; what is whole by it waits to be written.
  Result<void> take(TransactionAssembler& assembler, const nats::Delivered& delivered) {
    StreamedChange change{std::string(delivered.message.subject()), std::string(delivered.message.payload()),
                          delivered.stream_sequence};
    auto whole = assembler.take(std::move(change));
    if (!whole && whole.error().is(errors::gap)) {
      whole = std::vector<WholeTransaction>();  // a snapshot follows, which says all that is
    }
    if (!whole) return fail(std::move(whole).error());
    for (const auto& transaction : *whole) {
      for (const auto& one : transaction.changes) CHECK(take(one));
    }
    place = std::max(place, assembler.settled());
    is_whole = place == delivered.stream_sequence;
    return {};
  }

  Result<void> take(const StreamedChange& change) {
    const auto of_slot = [&](std::string_view kind) {
      return change.subject == options.subject_prefix + std::string(kind) + options.slot;
    };
    if (of_slot(".snapshot.begin.")) {
      in_snapshot.emplace();
      return {};
    }
    if (of_slot(".snapshot.end.")) {
      snapshot_ended = in_snapshot.has_value();
      return {};
    }
    TRY(const auto value, json::parse(change.payload));
    const auto* told = value.if_object();
    const auto* key = told ? told->if_contains("key") : nullptr;
    const auto* table = told ? told->if_contains("table") : nullptr;
    if (!table || !table->is_string()) return fail(errors::bad_change, change.subject);
    if (!key || !key->is_object() || key->get_object().empty()) {
      // A truncate names no row, so nobody knows which entries were its table's.
      ++statistics.gaps;
      say("gap", "a table was emptied at once; the next snapshot puts it right");
      return {};
    }
    const auto* row = told->if_contains("row");
    const auto entry = options.entry_of(
        {table->get_string(), key->get_object(), row && row->is_object() ? &row->get_object() : nullptr});
    if (!entry) return {};
    if (in_snapshot && entry->value) in_snapshot->insert(entry->key);
    if (is_known(*entry)) return {};
    // Of one key's changes in a batch the last is enough: nobody sees the bucket in between.
    const auto [known, is_new] = changes.insert_or_assign(entry->key, entry->value);
    if (is_new) order.push_back(entry->key);
    return {};
  }

  /// True where the bucket, or what waits to be written, has it already: much of a row may change without its
  /// entry.
  bool is_known(const nats::KeyValue::Change& entry) {
    if (known.size() >= kMostKnown) known.clear();
    const auto hash = entry.value ? std::optional(std::hash<std::string>()(*entry.value)) : std::nullopt;
    const auto [found, is_new] = known.try_emplace(entry.key, hash);
    return !is_new && std::exchange(found->second, hash) == hash;
  }

  Task<> write() {
    // While a snapshot is taken the mark stays in front of it: who starts over needs all of it, to know what
    // is not in it.
    const auto reached = in_snapshot ? written : place;
    if (order.empty() && (reached == written || now() < mark_due)) co_return Result<void>{};
    mark_due = now() + kMarkPause;
    std::vector<nats::KeyValue::Change> batch;
    for (auto& key : order) {
      auto value = std::move(changes[key]);
      batch.push_back({std::move(key), std::move(value)});
    }
    order.clear();
    changes.clear();
    for (std::size_t from = 0; from == 0 || from < batch.size(); from += options.max_entries) {
      const std::span all(batch);
      const auto piece = all.subspan(from, std::min(options.max_entries, all.size() - from));
      const bool is_last = from + options.max_entries >= batch.size();
      CO_CHECK(co_await store(piece, is_last ? reached : written));
    }
    co_return Result<void>{};
  }

  Task<> store(std::span<const nats::KeyValue::Change> piece, std::uint64_t reached) {
    const nats::KeyValue::Pair mark{std::string(kMark), json::encode(Mark{reached, stream_made_at})};
    CO_TRY(mark_revision, co_await bucket.change_all(piece, mark, mark_revision));
    written = statistics.sequence = reached;
    statistics.entries += piece.size();
    ++statistics.batches;
    co_return Result<void>{};
  }

  Task<> remove_what_is_not_in_the_snapshot() {
    CO_CHECK(co_await write());
    CO_TRY(const auto keys, co_await bucket.keys());
    std::vector<nats::KeyValue::Change> gone;
    for (const auto& key : keys) {
      if (key != kMark && !in_snapshot->contains(key)) gone.push_back({key, std::nullopt});
    }
    for (std::size_t from = 0; from < gone.size(); from += kRemovedAtOnce) {
      const auto piece = std::span(gone).subspan(from, std::min(kRemovedAtOnce, gone.size() - from));
      CO_CHECK(co_await store(piece, written));
    }
    in_snapshot.reset();
    snapshot_ended = false;
    ++statistics.snapshots;
    co_return co_await write();
  }

  nats::JetStream& jetstream;
  ProjectionOptions options;
  Tell tell;
  nats::KeyValue bucket;
  ProjectionStatistics statistics;
  std::uint64_t place = 0;    ///< everything of the stream up to it is in `changes` or in the bucket
  std::uint64_t written = 0;  ///< as the mark says
  std::uint64_t mark_revision = 0;
  std::string stream_made_at;
  bool is_whole = false;  ///< nothing of a transaction waits for its end
  std::unordered_map<std::string, std::optional<std::string>> changes;  ///< not written yet
  std::vector<std::string> order;                                       ///< of their keys
  std::unordered_map<std::string, std::optional<std::size_t>> known;    ///< what entries were last, as hashes
  SteadyTime mark_due{};
  std::optional<std::unordered_set<std::string>> in_snapshot;  ///< keys of the one that is being taken
  bool snapshot_ended = false;
};

Projection::Projection(nats::JetStream& jetstream, ProjectionOptions options, Tell tell)
    : impl_(std::make_unique<Impl>(jetstream, std::move(options), std::move(tell))) {}
Projection::~Projection() = default;

Task<> Projection::run() {
  return impl_->run();
}
const ProjectionStatistics& Projection::statistics() const {
  return impl_->statistics;
}

}  // namespace intra365::cdc
