// Pull consumers: fetching, and acknowledging what was fetched.
#include <boost/json.hpp>

#include "nats/jetstream.hpp"
#include "nats/jetstream_wire.hpp"
#include "nats/pull_status.hpp"
#include "nats/queue.hpp"

namespace intra365::nats {
namespace {

constexpr std::size_t kMaxFetch = 10'000;
/// How long after `wait` the server's own end of the pull may arrive.
constexpr std::chrono::milliseconds kGrace{2000};
/// Pulls longer than this ask for heartbeats, so that a dead server is noticed before the wait is over.
constexpr std::chrono::milliseconds kHeartbeatFrom{4000};
constexpr std::chrono::milliseconds kHeartbeat{1500};

}  // namespace

Task<std::vector<Delivered>> JetStream::fetch(std::string_view stream, std::string_view consumer,
                                              std::size_t max, std::chrono::milliseconds wait,
                                              FetchUntil until) {
  if (!wire::is_name(stream) || !wire::is_name(consumer)) co_return fail(errors::bad_name);
  std::vector<Delivered> fetched;
  if (max == 0 || wait.count() <= 0) co_return fetched;
  max = std::min(max, kMaxFetch);
  const bool heartbeats = wait >= kHeartbeatFrom;

  boost::json::object request;
  request["batch"] = max;
  request["expires"] = std::int64_t{std::chrono::nanoseconds(wait).count()};
  // With both, the server waits for the first message, then sends what it has and ends the pull.
  if (until == FetchUntil::available) request["no_wait"] = true;
  if (heartbeats) request["idle_heartbeat"] = std::int64_t{std::chrono::nanoseconds(kHeartbeat).count()};

  const auto inbox = connection_.new_inbox();
  const auto subject = "$JS.API.CONSUMER.MSG.NEXT." + std::string(stream) + "." + std::string(consumer);
  MessageQueue queue(connection_, max + 16);  // room for status messages
  // A lost connection takes the pull with it.
  CO_CHECK(queue.subscribe(inbox, {}, MessageQueue::OnReconnect::tell));
  const HeaderBlock no_headers;
  CO_CHECK(connection_.publish(subject, boost::json::serialize(request), no_headers, inbox));

  const auto deadline = std::chrono::steady_clock::now() + wait + kGrace;
  while (fetched.size() < max) {
    auto patience = deadline;
    if (heartbeats) patience = std::min(deadline, std::chrono::steady_clock::now() + 2 * kHeartbeat + kGrace);
    auto next = co_await queue.next(patience);
    if (!next) {
      if (fetched.empty()) co_return fail(std::move(next).error());
      break;
    }
    if (const auto status = next->headers().status(); status != 0) {
      auto verdict = judge_pull(status, next->headers().status_text());
      if (verdict.next == PullNext::go_on) continue;
      if (verdict.next == PullNext::fail && fetched.empty()) co_return fail(std::move(verdict.error));
      break;
    }
    const auto delivery = wire::parse_ack_subject(next->reply());
    if (!delivery) continue;  // not from the consumer: nobody could acknowledge it
    fetched.push_back({std::move(*next), delivery->stream_sequence, delivery->consumer_sequence,
                       delivery->delivered, delivery->pending, delivery->timestamp_ns});
  }
  co_return fetched;
}

// A failure to send is not reported: the connection is away, and the server delivers the message again.
void JetStream::acknowledge(const Delivered& delivered) {
  (void)connection_.publish(delivered.message.reply(), "+ACK");
}

Task<> JetStream::acknowledge_sync(const Delivered& delivered) {
  const HeaderBlock no_headers;
  CO_CHECK(co_await connection_.request(delivered.message.reply(), "+ACK", no_headers, deadline()));
  co_return Result<void>();
}

void JetStream::negative_acknowledge(const Delivered& delivered, std::chrono::nanoseconds delay) {
  std::string body = "-NAK";
  if (delay.count() > 0) body += " {\"delay\":" + std::to_string(delay.count()) + "}";
  (void)connection_.publish(delivered.message.reply(), body);
}

void JetStream::in_progress(const Delivered& delivered) {
  (void)connection_.publish(delivered.message.reply(), "+WPI");
}

void JetStream::terminate(const Delivered& delivered, std::string_view reason) {
  auto body = std::string("+TERM");
  if (!reason.empty()) body.append(" ").append(reason);
  (void)connection_.publish(delivered.message.reply(), body);
}

}  // namespace intra365::nats
