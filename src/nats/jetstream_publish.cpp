// Durable publishing: one message, or an atomic batch (ADR-50).
#include "base/ids.hpp"
#include "nats/jetstream.hpp"
#include "nats/jetstream_wire.hpp"

namespace intra365::nats {
namespace {

constexpr std::size_t kMaxBatch = 1000;  // the server's default max_batch_size
constexpr int kNoResponderRetries = 2;
constexpr std::chrono::milliseconds kNoResponderPause{250};

/// A request that is sent again while nobody listens: then nothing has been stored, so it is always safe.
Task<Message> request(Connection& connection, std::string_view subject, std::string_view payload,
                      const HeaderBlock& headers, SteadyTime deadline) {
  for (int retries = kNoResponderRetries;; --retries) {
    auto reply = co_await connection.request(subject, payload, headers, deadline);
    if (reply || retries == 0 || !reply.error().is(errors::no_responders)) co_return reply;
    co_await sleep_for(kNoResponderPause);
  }
}

/// Publishes; where the write buffer is full, waits once until there is room.
Task<> publish_when_room(Connection& connection, const Outgoing& message, const HeaderBlock& headers,
                         SteadyTime deadline) {
  for (;;) {
    auto sent = connection.publish(message.subject, message.payload, headers);
    if (sent || !sent.error().is(errors::buffer_full)) co_return sent;
    CO_CHECK(co_await connection.writable(deadline));
  }
}

/// A request that found no room was not sent.
Task<Message> request_when_room(Connection& connection, const Outgoing& message, const HeaderBlock& headers,
                                SteadyTime deadline) {
  for (;;) {
    auto reply = co_await connection.request(message.subject, message.payload, headers, deadline);
    if (reply || !reply.error().is(errors::buffer_full)) co_return reply;
    CO_CHECK(co_await connection.writable(deadline));
  }
}

bool mark(HeaderBlock& headers, std::string_view batch, std::size_t sequence) {
  return headers.add("Nats-Batch-Id", batch) && headers.add("Nats-Batch-Sequence", std::to_string(sequence));
}

}  // namespace

Task<PublishAck> JetStream::publish(std::string_view subject, std::string_view payload,
                                    const HeaderBlock& headers) {
  CO_TRY(const auto reply, co_await request(connection_, subject, payload, headers, deadline()));
  co_return wire::decode_publish_ack(reply.payload());
}

Task<std::string> JetStream::count(std::string_view subject, std::string_view increment) {
  HeaderBlock headers;
  if (!headers.add("Nats-Incr", increment)) co_return fail(errors::jetstream, "That is no number.");
  CO_TRY(auto ack, co_await publish(subject, "", headers));
  if (ack.value.empty()) co_return fail(errors::jetstream, "The stream does not count (allow_msg_counter).");
  co_return std::move(ack.value);
}

Task<PublishAck> JetStream::publish_batch(std::span<const Outgoing> messages) {
  if (messages.empty() || messages.size() > kMaxBatch) co_return fail(errors::bad_batch);
  if (messages.size() == 1) {
    const auto& only = messages.front();
    co_return co_await publish(only.subject, only.payload, only.headers);
  }
  // Refused here, before the first message: a batch that breaks off would occupy the server for ten seconds.
  constexpr std::size_t kRoomForBatchHeaders = 128;
  for (const auto& message : messages) {
    const auto size = message.payload.size() + message.headers.text().size() + kRoomForBatchHeaders;
    if (!is_publish_subject(message.subject) || size > connection_.server().max_payload)
      co_return fail(errors::bad_batch);
  }

  const auto until = deadline();
  const auto id = random_token(22);
  const auto last = messages.size() - 1;
  for (std::size_t i = 0; i < last; ++i) {
    HeaderBlock headers = messages[i].headers;
    if (!mark(headers, id, i + 1)) co_return fail(errors::bad_batch);
    if (i > 0) {
      CO_CHECK(co_await publish_when_room(connection_, messages[i], headers, until));
      continue;
    }
    // The answer to the first message says whether the stream takes batches at all; a server that does not
    // know them stores it as a plain message, and the rest must not follow.
    CO_TRY(const auto opened,
           co_await request(connection_, messages[i].subject, messages[i].payload, headers, until));
    if (opened.payload().empty()) continue;
    CO_CHECK(wire::decode_reply(opened.payload()));
    co_return fail(errors::jetstream,
                   "The server stored the first message alone: it knows no atomic batches.");
  }

  HeaderBlock headers = messages[last].headers;
  if (!mark(headers, id, messages.size()) || !headers.add("Nats-Batch-Commit", "1"))
    co_return fail(errors::bad_batch);
  // Never sent twice: when this request fails, the batch may have been stored.
  CO_TRY(const auto reply, co_await request_when_room(connection_, messages[last], headers, until));
  CO_TRY(auto ack, wire::decode_publish_ack(reply.payload()));
  if (ack.batch_count != messages.size())
    co_return fail(errors::jetstream,
                   "The server acknowledged another number of messages than the batch has.");
  co_return ack;
}

}  // namespace intra365::nats
