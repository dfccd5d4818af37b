#include "cdc/keyed_consumer.hpp"

#include <charconv>
#include <unordered_set>

#include "async/task_group.hpp"
#include "cdc/following.hpp"
#include "cdc/marks.hpp"
#include "json/json.hpp"
#include "nats/errors.hpp"

namespace intra365::cdc {
namespace {

constexpr auto kIdle = std::chrono::milliseconds(200);
constexpr auto kRestart = std::chrono::milliseconds(500);
constexpr auto kLookAtStream = std::chrono::seconds(2);
constexpr auto kKeyBusy = std::chrono::milliseconds(20);
constexpr int kMostDoublings = 6;
constexpr std::string_view kCode = "Intra365-Error", kDetail = "Intra365-Error-Detail",
                           kFrom = "Intra365-Subject", kSequence = "Intra365-Sequence";

struct Place {
  std::uint64_t sequence = 0;
  std::string stream;  ///< when it was made: one that was made anew counts from the beginning
};
BOOST_DESCRIBE_STRUCT(Place, (), (sequence, stream))

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

std::uint64_t sequence_in(const nats::HeaderView& headers) {
  const auto text = headers.get(kSequence);
  std::uint64_t sequence = 0;
  std::from_chars(text.data(), text.data() + text.size(), sequence);
  return sequence;
}

/// A token for a key of any length. Two keys that share one wait for each other, which does no harm.
std::string token_of(std::string_view table, const boost::json::object& key) {
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a
  const auto mix = [&hash](std::string_view text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  };
  mix(table);
  mix(json::encode(boost::json::value(key)));
  std::string token;
  for (int shift = 60; shift >= 0; shift -= 4) token += "0123456789abcdef"[hash >> shift & 0xf];
  return token;
}

}  // namespace

struct KeyedConsumer::Impl : std::enable_shared_from_this<KeyedConsumer::Impl> {
  Impl(nats::JetStream& jetstream, KeyedOptions options, Handler handler, Tell tell)
      : jetstream(jetstream),
        options(std::move(options)),
        handler(std::move(handler)),
        tell(std::move(tell)),
        places(jetstream, "cdc_places"),
        moved(jetstream.connection().executor()) {}

  void say(std::string_view event, std::string_view detail) const {
    if (tell) tell(event, detail);
  }
  std::string aside_stream() const { return "ASIDE_" + options.name; }
  std::string aside_subject(std::string_view key) const {
    return "aside." + options.name + "." + std::string(key);
  }

  Task<> run() {
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    std::string last_failure;
    while (cancelled.cancelled() == asio::cancellation_type::none) {
      TaskGroup work(jetstream.connection().executor(), "keyed", options.parallel);
      workers = &work;
      const auto ended = co_await contain(run_once());
      workers = nullptr;
      // Nobody may still work on a row when it is handed out again.
      work.cancel();
      co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
      co_await work.join(SteadyTime::max());
      co_await asio::this_coro::reset_cancellation_state(asio::enable_total_cancellation());
      if (cancelled.cancelled() != asio::cancellation_type::none || is_cancelled(ended)) break;
      if (!ended && ended.error().is(nats::errors::wrong_revision)) {
        co_await contain(wait_until_still(places, options.name, options.stand_by));
        continue;
      }
      const auto words = ended ? std::string() : ended.error().code + ": " + ended.error().detail;
      if (!words.empty() && words != std::exchange(last_failure, words)) say("failed", words);
      co_await sleep_for(kRestart);
    }
    co_return Result<void>{};
  }

  static bool is_cancelled(const Result<void>& ended) {
    return !ended && ended.error().is(intra365::errors::cancelled);
  }

  Task<> run_once() {
    CO_CHECK(co_await prepare());
    const Followed followed{options.stream, options.subject_prefix, options.slot, options.tables};
    auto reading = followed.reading(placed + 1);
    if (placed == 0 && !options.from_time.empty()) {
      reading.deliver_policy = "by_start_time";
      reading.opt_start_seq = 0;
      reading.opt_start_time = options.from_time;
    }
    nats::OrderedConsumer consumer(jetstream, options.stream, std::move(reading));
    CO_CHECK(co_await consumer.start());
    for (;;) {
      if (failure) co_return fail(*std::exchange(failure, std::nullopt));
      if (now() >= place_due) CO_CHECK(co_await keep_place());
      if (now() >= look_at) {
        CO_CHECK(co_await expect_same_stream(jetstream, options.stream, stream_made_at));
        look_at = now() + kLookAtStream;
      }
      start_work();
      if (order.in_hand() >= options.most_in_hand) {
        co_await wait_for_a_move();
        continue;
      }
      auto delivered = co_await consumer.next(now() + kIdle);
      if (!delivered && !delivered.error().is(nats::errors::timeout))
        co_return fail(std::move(delivered).error());
      if (!delivered || !*delivered) continue;
      CO_CHECK(co_await take(**delivered));
    }
  }

  /// Where to begin, and which keys wait for somebody.
  Task<> prepare() {
    order = KeyedOrder();
    in_hand.clear();
    blocked.clear();
    busy.clear();
    active.clear();
    failure.reset();
    nats::BucketConfig bucket;
    bucket.name = "cdc_places";
    CO_CHECK(co_await nats::KeyValue::ensure(jetstream, bucket));
    nats::StreamConfig aside;
    aside.name = aside_stream();
    aside.subjects = {aside_subject("*")};
    aside.description = "Changes that could not be handled, and what follows them of their keys";
    CO_CHECK(co_await jetstream.ensure_stream(aside));
    CO_TRY(const auto info, co_await jetstream.stream_info(aside_stream(), aside_subject("*")));
    for (const auto& [subject, count] : info.subjects)
      blocked.insert(subject.substr(aside_subject("").size()));

    CO_TRY(const auto stream, co_await jetstream.stream_state(options.stream));
    stream_made_at = stream.created;
    placed = place_revision = 0;
    CO_TRY(const auto stored, co_await places.get(options.name));
    if (stored) {
      CO_TRY(const auto place, json::decode<Place>(stored->value, json::Unknown::ignore));
      place_revision = stored->revision;
      if (place.stream == stream_made_at) placed = place.sequence;
      if (placed + 1 < stream.first_seq) say("gap", "the stream has forgotten what was not handled yet");
    }
    order.passed(placed);
    // Whoever worked until now learns by it that its time is over.
    co_return co_await keep_place();
  }

  /// Says how far everything is done with; fails with wrong_revision when another process has taken over.
  Task<> keep_place() {
    place_due = now() + options.place_interval;
    const Place place{order.settled(), stream_made_at};
    CO_TRY(place_revision, co_await places.update(options.name, json::encode(place), place_revision));
    placed = statistics.settled = place.sequence;
    co_return Result<void>{};
  }

  KeyedChange change_of(std::string_view subject, std::uint64_t sequence, boost::json::object told) const {
    std::string operation(mark_of(subject, options.subject_prefix, options.slot));
    if (const auto* said = told.if_contains("operation"); operation.empty() && said && said->is_string())
      operation = said->get_string();
    return {std::move(operation), std::string(subject), sequence, std::move(told)};
  }

  Task<> take(const nats::Delivered& delivered) {
    CO_TRY(auto value, json::parse(delivered.message.payload()));
    if (!value.is_object()) co_return fail(errors::bad_change, std::string(delivered.message.subject()));
    auto change =
        change_of(delivered.message.subject(), delivered.stream_sequence, std::move(value.as_object()));
    const auto* key = change.told.if_contains("key");
    const auto* table = change.told.if_contains("table");
    const bool is_row = key && key->is_object() && !key->get_object().empty() && table && table->is_string();
    if (!is_row) co_return co_await handle_alone(std::move(change));
    auto token = token_of(table->get_string(), key->get_object());
    order.add(change.sequence, std::move(token));
    const auto sequence = change.sequence;
    in_hand.emplace(sequence, std::move(change));
    co_return Result<void>{};
  }

  /// What concerns every key: everything before it is done with first, and nothing behind it has begun.
  Task<> handle_alone(KeyedChange change) {
    while (order.in_hand() > 0) {
      if (failure) co_return fail(*std::exchange(failure, std::nullopt));
      if (now() >= place_due) CO_CHECK(co_await keep_place());
      start_work();
      co_await wait_for_a_move();
    }
    const auto sequence = change.sequence;
    for (int attempt = 0;; ++attempt) {
      const auto handled = co_await attempt_once(change);
      if (handled) break;
      say("failed", handled.error().code + ": " + handled.error().detail);
      co_await sleep_for(pause_after(attempt));
      if (now() >= place_due) CO_CHECK(co_await keep_place());
    }
    ++statistics.handled;
    order.passed(sequence);
    co_return Result<void>{};
  }

  void start_work() {
    while (!to_release.empty() && workers->running() < options.parallel) {
      auto key = *to_release.begin();
      if (busy.contains(key)) break;
      to_release.erase(to_release.begin());
      busy.insert(key);
      static_cast<void>(workers->spawn(release_key(shared_from_this(), std::move(key))));
    }
    while (workers->running() < options.parallel) {
      const auto due = order.next();
      if (!due) return;
      static_cast<void>(workers->spawn(work_on(shared_from_this(), *due)));
    }
  }

  asio::awaitable<void> wait_for_a_move() {
    moved.expires_after(kIdle);
    boost::system::error_code ignored;
    co_await moved.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  std::chrono::milliseconds pause_after(int attempt) const {
    return options.retry_pause * (1 << std::min(attempt, kMostDoublings));
  }

  Task<> attempt_once(KeyedChange change) { co_return co_await contain(handler(std::move(change))); }

  /// One row after the other, each until it is handled or set aside.
  static Task<> work_on(std::shared_ptr<Impl> self, KeyedOrder::Due first) {
    for (std::optional<KeyedOrder::Due> due = std::move(first); due; due = self->order.next()) {
      const auto ended = co_await contain(self->handle_or_set_aside(*due));
      if (!ended) {
        if (!is_cancelled(ended) && !self->failure) self->failure = ended.error();
        break;
      }
      self->in_hand.erase(due->sequence);
      self->order.done(*due);
      self->moved.cancel();
    }
    self->moved.cancel();
    co_return Result<void>{};
  }

  Task<> handle_or_set_aside(const KeyedOrder::Due& due) {
    while (busy.contains(due.key)) co_await sleep_for(kKeyBusy);
    const Active here(active, due.key);
    const auto& change = in_hand.at(due.sequence);
    if (blocked.contains(due.key)) {
      const Error behind(errors::behind_another);
      co_return co_await set_aside(due.key, change, behind);
    }
    Error last;
    for (int attempt = 0; attempt < options.attempts; ++attempt) {
      if (attempt > 0) {
        ++statistics.retried;
        co_await sleep_for(pause_after(attempt - 1));
      }
      const auto handled = co_await attempt_once(change);
      if (handled) {
        ++statistics.handled;
        co_return Result<void>{};
      }
      if (is_cancelled(handled)) co_return fail(handled.error());
      last = handled.error();
    }
    blocked.insert(due.key);
    say("set_aside", "key " + due.key + ": " + last.code + ": " + last.detail);
    co_return co_await set_aside(due.key, change, last);
  }

  /// Durable before anything says that it is done with. One that comes again is there already.
  Task<> set_aside(std::string key, const KeyedChange& change, Error reason) {
    const auto subject = aside_subject(key);
    const auto last = co_await jetstream.last_stored(aside_stream(), subject);
    if (!last && last.error().kind != ErrorKind::not_found) co_return fail(last.error());
    if (last && sequence_in(last->message.headers()) >= change.sequence) co_return Result<void>{};
    nats::HeaderBlock headers;
    headers.add(kFrom, change.subject);
    headers.add(kSequence, std::to_string(change.sequence));
    headers.add(kCode, reason.code);
    headers.add(kDetail, reason.detail.substr(0, 500));
    const auto payload = json::encode(boost::json::value(change.told));
    CO_CHECK(co_await jetstream.publish(subject, payload, headers));
    ++statistics.set_aside;
    co_return Result<void>{};
  }

  /// In order; ends with the first that still fails. While it runs, what is new of the key is set aside
  /// behind.
  static Task<> release_key(std::shared_ptr<Impl> self, std::string key) {
    const auto ended = co_await contain(self->release_all(key));
    self->busy.erase(key);
    if (!ended && !is_cancelled(ended))
      self->say("not_released", "key " + key + ": " + ended.error().code + ": " + ended.error().detail);
    self->moved.cancel();
    co_return Result<void>{};
  }

  /// A worker is on this key: nobody may release it meanwhile.
  struct Active {
    Active(std::unordered_set<std::string>& keys, std::string key) : keys(keys), key(std::move(key)) {
      keys.insert(this->key);
    }
    ~Active() { keys.erase(key); }
    Active(const Active&) = delete;
    std::unordered_set<std::string>& keys;
    std::string key;
  };

  Task<> release_all(std::string key) {
    while (active.contains(key)) co_await sleep_for(kKeyBusy);
    const auto subject = aside_subject(key);
    for (;;) {
      nats::DirectQuery first;
      first.next_by_subj = subject;
      first.seq = 1;
      const auto stored = co_await jetstream.direct_get(aside_stream(), first);
      if (!stored && stored.error().kind == ErrorKind::not_found) break;
      if (!stored) co_return fail(stored.error());
      CO_TRY(auto value, json::parse(stored->message.payload()));
      if (!value.is_object()) co_return fail(errors::bad_change, subject);
      const auto headers = stored->message.headers();
      auto change = change_of(headers.get(kFrom), sequence_in(headers), std::move(value.as_object()));
      CO_CHECK(co_await attempt_once(std::move(change)));
      CO_CHECK(co_await jetstream.delete_message(aside_stream(), stored->sequence));
      ++statistics.released;
    }
    blocked.erase(key);
    say("released", "key " + key);
    co_return Result<void>{};
  }

  Task<std::vector<Aside>> aside() {
    std::vector<Aside> found;
    const auto info = co_await jetstream.stream_info(aside_stream(), aside_subject("*"));
    if (!info && info.error().kind == ErrorKind::not_found) co_return found;
    if (!info) co_return fail(info.error());
    for (const auto& [subject, count] : info->subjects) {
      nats::DirectQuery first;
      first.next_by_subj = subject;
      first.seq = 1;
      const auto stored = co_await jetstream.direct_get(aside_stream(), first);
      if (!stored) continue;
      const auto headers = stored->message.headers();
      found.push_back({subject.substr(aside_subject("").size()), std::string(headers.get(kCode)),
                       std::string(headers.get(kDetail)), count});
    }
    co_return found;
  }

  nats::JetStream& jetstream;
  KeyedOptions options;
  Handler handler;
  Tell tell;
  nats::KeyValue places;
  KeyedStatistics statistics;
  TaskGroup* workers = nullptr;
  KeyedOrder order;
  std::unordered_map<std::uint64_t, KeyedChange> in_hand;
  std::unordered_set<std::string> blocked;     ///< keys that have something set aside
  std::unordered_set<std::string> to_release;  ///< asked for
  std::unordered_set<std::string> busy;        ///< being released: its workers wait
  std::unordered_set<std::string> active;      ///< being worked on
  std::optional<Error> failure;                ///< of a worker
  asio::steady_timer moved;                    ///< cancelled when a worker has ended
  std::uint64_t placed = 0, place_revision = 0;
  std::string stream_made_at;
  SteadyTime place_due{}, look_at{};
};

KeyedConsumer::KeyedConsumer(nats::JetStream& jetstream, KeyedOptions options, Handler handler, Tell tell)
    : impl_(std::make_shared<Impl>(jetstream, std::move(options), std::move(handler), std::move(tell))) {}
KeyedConsumer::~KeyedConsumer() = default;

Task<> KeyedConsumer::run() {
  return impl_->run();
}
Task<std::vector<Aside>> KeyedConsumer::aside() {
  return impl_->aside();
}
void KeyedConsumer::release(std::string key) {
  impl_->to_release.insert(std::move(key));
  impl_->moved.cancel();
}
const KeyedStatistics& KeyedConsumer::statistics() const {
  return impl_->statistics;
}

}  // namespace intra365::cdc
