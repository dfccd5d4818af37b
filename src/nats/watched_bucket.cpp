// A bucket mirrored in memory. A supervisor coroutine keeps one ordered push consumer alive and makes a new
// one whenever messages or heartbeats are missing; the subscription's handler applies messages to the mirror.
//
// INVARIANT: once `stop` was called, nothing here touches JetStream or the connection again: they may be
// gone.
#include <boost/json.hpp>
#include <cassert>
#include <list>
#include <random>

#include "base/ids.hpp"
#include "nats/jetstream_wire.hpp"
#include "nats/key_value.hpp"
#include "nats/key_value_mirror.hpp"
#include "nats/key_value_wire.hpp"

namespace intra365::nats {
namespace {

namespace json = boost::json;
using Steady = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kHeartbeat{500};
constexpr std::chrono::milliseconds kSilence{1250};  ///< two heartbeats missing: the consumer is gone
constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::milliseconds kBackoff{50}, kBackoffMax{1000};
/// After a longer absence everything is read again: expiry markers may have come and gone meanwhile.
constexpr std::chrono::seconds kResumeWindow{20};
constexpr std::chrono::seconds kInactive{10};  ///< when the server drops a consumer that nobody listens to

std::int64_t nanoseconds(std::chrono::nanoseconds duration) {
  return duration.count();
}

}  // namespace

struct WatchedBucket::Impl : std::enable_shared_from_this<Impl> {
  Impl(JetStream& jetstream, std::string bucket, OnChange on_change)
      : jetstream(jetstream),
        executor(jetstream.connection().executor()),
        stream(wire::bucket_stream(bucket)),
        prefix(wire::bucket_prefix(bucket)),
        valid(wire::is_name(bucket)),
        mirror(std::move(on_change)),
        wake(executor) {}

  // Messages of the ordered consumer.

  void on_message(const MessageView& message) {
    if (stopped || lost) return;
    in_handler = true;
    last_heard = Steady::now();
    if (message.headers.status() != 0) {
      on_control(message);
    } else if (const auto delivery = wire::parse_ack_subject(message.reply)) {
      on_delivery(message, *delivery);
    }
    in_handler = false;
  }

  void on_delivery(const MessageView& message, const wire::Delivery& delivery) {
    if (delivery.consumer_sequence != next_consumer_sequence) return lose("A message is missing.");
    ++next_consumer_sequence;
    const auto key =
        message.subject.starts_with(prefix) ? message.subject.substr(prefix.size()) : std::string_view();
    mirror.apply(key, message, delivery.stream_sequence);
    if (stopped) return;
    if (delivery.pending == 0) {
      catch_up();
    } else if (!verified) {
      caught_up = false;
    }
  }

  void on_control(const MessageView& message) {
    if (message.headers.status() != 100) return lose(message.headers.status_text());
    auto& connection = jetstream.connection();
    if (!message.reply.empty()) {
      // Flow control: everything before this message has been applied, so the server may go on.
      (void)connection.publish(message.reply, "");
      return;
    }
    const auto stalled = message.headers.get("Nats-Consumer-Stalled");
    if (!stalled.empty()) (void)connection.publish(stalled, "");
    const auto last = message.headers.get("Nats-Last-Consumer");
    if (!last.empty() && last != std::to_string(next_consumer_sequence - 1))
      return lose("The last messages are missing.");
    if (stalled.empty()) catch_up();  // the server is idle: what was pending may have been purged
  }

  void catch_up() {
    caught_up = true;
    if (mirror.loading() && !verified) return;  // whose content it is has not been checked yet
    mirror.complete();
    notify();
  }

  bool silent() const { return Steady::now() - std::max(last_heard, attached_at) > kSilence; }

  void lose(std::string_view why) {
    lost = true;
    last_error = Error(errors::disconnected, std::string(why));
    wake.cancel();
  }

  // The supervisor.

  static asio::awaitable<void> run(std::shared_ptr<Impl> self) {
    std::minstd_rand jitter{std::random_device{}()};
    auto backoff = kBackoff;
    while (!self->stopped) {
      const auto began = Steady::now();
      auto attached = co_await self->attach();
      if (attached) {
        co_await self->stay();
      } else {
        self->last_error = attached.error();
      }
      if (self->stopped) break;
      self->detach();
      const bool lasted = attached && Steady::now() - began > kBackoffMax;
      backoff = lasted ? kBackoff : std::min(backoff * 2, kBackoffMax);
      // Full jitter, so that many watchers of one server do not come back in step.
      const std::chrono::milliseconds pause(jitter() % static_cast<unsigned>(backoff.count()) + 1);
      co_await self->sleep_until(Steady::now() + pause);
    }
  }

  /// Makes a consumer that goes on where the last one ended, or loads everything where that is not certain.
  Task<> attach() {
    reconnects = jetstream.connection().statistics().reconnects;
    CO_TRY(const auto before, co_await info());
    const bool known = created == before.created && before.last_seq >= mirror.last_sequence();
    const bool resume = !mirror.loading() && known && Steady::now() - last_heard < kResumeWindow;
    if (!resume)
      mirror.begin_load(before.last_seq, known ? BucketMirror::Load::again : BucketMirror::Load::anew);
    created = before.created;

    caught_up = verified = lost = false;
    next_consumer_sequence = 1;
    attached_at = Steady::now();
    consumer = "watch-" + random_token(20);
    inbox = jetstream.connection().new_inbox();
    auto handler = [weak = weak_from_this(), mine = consumer](const MessageView& message) {
      const auto self = weak.lock();
      if (self && self->consumer == mine) self->on_message(message);
    };
    CO_TRY(auto subscribed, jetstream.connection().subscribe(inbox, std::move(handler)));
    subscription = std::move(subscribed);
    CO_TRY(const auto made, co_await call("CONSUMER.CREATE." + stream + "." + consumer, request(resume)));
    // Only when the stream is still the one looked at above, the new consumer belongs to it.
    CO_TRY(const auto after, co_await info());
    if (after.created != before.created)
      co_return fail(errors::not_found, "The bucket was made anew meanwhile.");

    verified = true;
    // Where something was delivered before the answer, its last message says the same.
    const auto* delivered = wire::child(made, "delivered");
    const bool nothing = wire::number(made, "num_pending") == 0 &&
                         (!delivered || wire::number(*delivered, "consumer_seq") == 0);
    if (caught_up || nothing) catch_up();
    co_return Result<void>();
  }

  std::string request(bool resume) const {
    json::object config;
    config["name"] = consumer;
    config["deliver_subject"] = inbox;
    config["deliver_policy"] = resume ? "by_start_sequence" : "last_per_subject";
    if (resume) config["opt_start_seq"] = mirror.last_sequence() + 1;
    config["filter_subject"] = prefix + ">";
    config["ack_policy"] = "none";
    config["max_deliver"] = 1;
    config["flow_control"] = true;
    config["idle_heartbeat"] = nanoseconds(kHeartbeat);
    config["inactive_threshold"] = nanoseconds(kInactive);
    config["mem_storage"] = true;
    config["num_replicas"] = 1;
    json::object request;
    request["stream_name"] = stream;
    request["config"] = std::move(config);
    return json::serialize(request);
  }

  /// Returns when the consumer is lost.
  asio::awaitable<void> stay() {
    while (!stopped && !lost) {
      co_await sleep_until(Steady::now() + kTick);
      if (stopped || lost) break;
      if (jetstream.connection().statistics().reconnects != reconnects) lose("The connection was made anew.");
      if (silent()) lose("Heartbeats are missing.");
    }
  }

  void detach() {
    subscription = Subscription();
    if (consumer.empty() || !jetstream.connection().connected()) return;
    // Politeness only: the server drops it by itself after kInactive.
    const HeaderBlock no_headers;
    jetstream.connection().async_request("$JS.API.CONSUMER.DELETE." + stream + "." + consumer, "", no_headers,
                                         Steady::now() + jetstream.timeout(), [](const auto&) {});
    consumer.clear();
  }

  Task<StreamState> info() {
    CO_TRY(const auto reply, co_await call("STREAM.INFO." + stream, ""));
    co_return wire::decode_state(reply);
  }

  /// An API request that is left alone as soon as `stop` is called, so that the connection may go away then.
  Task<json::object> call(std::string operation, std::string payload) {
    const auto id = ++call_id;
    reply.reset();
    const auto subject = "$JS.API." + operation;
    const auto deadline = Steady::now() + jetstream.timeout();
    const HeaderBlock no_headers;
    jetstream.connection().async_request(
        subject, payload, no_headers, deadline, [weak = weak_from_this(), id](Result<MessageView> result) {
          const auto self = weak.lock();
          if (!self || self->call_id != id) return;
          self->reply =
              result ? wire::decode_reply(result->payload) : Result<json::object>(fail(result.error()));
          self->wake.cancel();
        });
    while (!reply && !stopped) {
      if (Steady::now() > deadline + kTick) co_return fail(errors::timeout);
      co_await sleep_until(deadline + 2 * kTick);
    }
    if (stopped) co_return fail(intra365::errors::cancelled);
    auto taken = std::move(*reply);
    reply.reset();
    co_return taken;
  }

  /// Until `time`, or until somebody cancels `wake`.
  asio::awaitable<void> sleep_until(SteadyTime time) {
    wake.expires_at(time);
    boost::system::error_code ignored;
    co_await wake.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
  }

  // Those who wait.

  /// Whatever way a wait ends, its timer is not known here afterwards.
  class Waiting {
   public:
    Waiting(Impl& impl, asio::steady_timer& timer)
        : impl_(impl), at_(impl.waiting.insert(impl.waiting.end(), &timer)) {}
    ~Waiting() { impl_.waiting.erase(at_); }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    Impl& impl_;
    std::list<asio::steady_timer*>::iterator at_;
  };

  template <class Condition>
  static Task<> wait_until(std::shared_ptr<Impl> self, SteadyTime deadline, Condition condition) {
    asio::steady_timer timer(self->executor, deadline);
    const Waiting waiting(*self, timer);
    while (!condition(*self) && !self->stopped && Steady::now() < deadline) {
      timer.expires_at(deadline);
      boost::system::error_code ignored;
      co_await timer.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      const auto cancellation = co_await asio::this_coro::cancellation_state;
      if (cancellation.cancelled() != asio::cancellation_type::none)
        co_return fail(intra365::errors::cancelled);
    }
    if (self->stopped) co_return fail(intra365::errors::cancelled);
    if (!condition(*self)) co_return fail(intra365::errors::deadline);
    co_return Result<void>();
  }

  void notify() {
    for (auto* timer : waiting) timer->cancel();
  }

  void stop() {
    if (stopped) return;
    stopped = true;
    mirror.mute();
    if (started) {
      // From inside the handler the subscription must not destroy what is just running.
      if (in_handler) asio::post(executor, [leaving = std::move(subscription)]() mutable { leaving = {}; });
      detach();
    }
    wake.cancel();
    notify();
  }

  JetStream& jetstream;
  asio::any_io_executor executor;
  std::string stream, prefix;
  bool valid;

  BucketMirror mirror;
  std::string created;  ///< identity of the stream that the mirror shows

  std::string consumer, inbox;
  Subscription subscription;
  std::uint64_t next_consumer_sequence = 1, reconnects = 0;
  bool verified = false, caught_up = false, lost = false, in_handler = false;
  SteadyTime last_heard{}, attached_at{};

  asio::steady_timer wake;
  std::uint64_t call_id = 0;
  std::optional<Result<json::object>> reply;
  Error last_error;
  std::list<asio::steady_timer*> waiting;
  bool started = false, stopped = false;
};

WatchedBucket::WatchedBucket(JetStream& jetstream, std::string bucket, OnChange on_change)
    : impl_(std::make_shared<Impl>(jetstream, std::move(bucket), std::move(on_change))) {}

WatchedBucket::~WatchedBucket() {
  stop();
}

Task<> WatchedBucket::start(SteadyTime deadline) {
  const auto impl = impl_;
  if (!impl->valid) co_return fail(errors::bad_name);
  assert(!impl->started);
  impl->started = true;
  // Detached on purpose: it owns what it works on, and `stop` ends it at its next step.
  asio::co_spawn(impl->executor, Impl::run(impl), asio::detached);
  auto outcome =
      co_await Impl::wait_until(impl, deadline, [](const Impl& state) { return state.mirror.ready(); });
  if (outcome) co_return outcome;
  const bool was_stopped = impl->stopped;
  impl->stop();
  if (!was_stopped && !impl->last_error.code.empty()) co_return fail(impl->last_error);
  co_return outcome;
}

void WatchedBucket::stop() {
  impl_->stop();
}

Task<> WatchedBucket::wait_for(std::uint64_t revision, SteadyTime deadline) {
  return Impl::wait_until(impl_, deadline, [revision](const Impl& state) {
    return state.mirror.ready() && state.mirror.revision() >= revision;
  });
}

const Entry* WatchedBucket::find(std::string_view key) const {
  return impl_->mirror.find(key);
}
std::size_t WatchedBucket::size() const {
  return impl_->mirror.size();
}
std::uint64_t WatchedBucket::revision() const {
  return impl_->mirror.revision();
}
bool WatchedBucket::ready() const {
  return impl_->mirror.ready();
}

bool WatchedBucket::current() const {
  const auto& state = *impl_;
  return state.mirror.ready() && state.verified && state.caught_up && !state.lost && !state.stopped &&
         !state.silent() && state.jetstream.connection().connected();
}

}  // namespace intra365::nats
