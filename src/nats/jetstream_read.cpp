// Reading messages back: from the leader, or from whoever has them (ADR-31).
#include <boost/json.hpp>
#include <charconv>

#include "nats/jetstream.hpp"
#include "nats/jetstream_wire.hpp"
#include "nats/queue.hpp"

namespace intra365::nats {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxBatch = 100'000;

std::uint64_t number(const HeaderView& headers, std::string_view name) {
  const auto text = headers.get(name);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

/// The message as it was published: under its own subject, with its own headers in front of the server's.
Result<StoredMessage> read_direct(const MessageView& reply) {
  const auto& headers = reply.headers;
  switch (const auto status = headers.status()) {
    case 0:
      break;
    case 404:
      return fail(errors::not_found, "There is no such message.");
    case 503:
      return fail(errors::no_responders);
    default:
      return fail(errors::jetstream,
                  std::string(headers.status_text().substr(0, 128)) + " (" + std::to_string(status) + ")");
  }
  StoredMessage stored;
  stored.sequence = number(headers, "Nats-Sequence");
  stored.time = headers.get("Nats-Time-Stamp");
  const auto subject = headers.get("Nats-Subject");
  if (stored.sequence == 0 || subject.empty()) return fail(errors::bad_reply);
  MessageView view = reply;
  view.subject = subject;
  view.reply = {};
  stored.message = Message(view);
  return stored;
}

}  // namespace

Task<StoredMessage> JetStream::last_stored(std::string_view stream, std::string_view subject) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  if (!is_publish_subject(subject)) co_return fail(errors::bad_subject);
  json::object request;
  request["last_by_subj"] = subject;
  CO_TRY(const auto reply, co_await wire::call(connection_, "STREAM.MSG.GET." + std::string(stream),
                                               json::serialize(request), deadline()));
  co_return wire::decode_stored(reply);
}

Task<Message> JetStream::last_message(std::string_view stream, std::string_view subject) {
  CO_TRY(auto stored, co_await last_stored(stream, subject));
  co_return std::move(stored.message);
}

Task<StoredMessage> JetStream::message(std::string_view stream, std::uint64_t sequence) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  json::object request;
  request["seq"] = sequence;
  CO_TRY(const auto reply, co_await wire::call(connection_, "STREAM.MSG.GET." + std::string(stream),
                                               json::serialize(request), deadline()));
  co_return wire::decode_stored(reply);
}

Task<StoredMessage> JetStream::direct_get(std::string_view stream, const DirectQuery& query) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  auto subject = "$JS.API.DIRECT.GET." + std::string(stream);
  std::string body;
  if (!query.last_by_subj.empty()) {
    if (!is_publish_subject(query.last_by_subj)) co_return fail(errors::bad_subject);
    subject += "." + query.last_by_subj;  // this form takes no body
  } else {
    json::object request;
    if (query.seq != 0) request["seq"] = query.seq;
    if (!query.next_by_subj.empty()) request["next_by_subj"] = query.next_by_subj;
    if (!query.start_time.empty()) request["start_time"] = query.start_time;
    body = json::serialize(request);
  }
  const HeaderBlock no_headers;
  CO_TRY(const auto reply, co_await connection_.request(subject, body, no_headers, deadline()));
  co_return read_direct(reply.view());
}

Task<DirectBatch> JetStream::direct_get_batch(std::string_view stream, const DirectBatchQuery& query) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  json::object request;
  if (query.batch != 0) request["batch"] = std::min(query.batch, kMaxBatch);
  if (query.max_bytes != 0) request["max_bytes"] = query.max_bytes;
  if (query.seq != 0) request["seq"] = query.seq;
  if (!query.start_time.empty()) request["start_time"] = query.start_time;
  if (!query.next_by_subj.empty()) request["next_by_subj"] = query.next_by_subj;
  if (!query.multi_last.empty()) request["multi_last"] = json::value_from(query.multi_last);
  if (query.up_to_seq != 0) request["up_to_seq"] = query.up_to_seq;
  if (!query.up_to_time.empty()) request["up_to_time"] = query.up_to_time;

  const auto inbox = connection_.new_inbox();
  MessageQueue queue(connection_, kMaxBatch + 1);
  CO_CHECK(queue.subscribe(inbox));
  const HeaderBlock no_headers;
  CO_CHECK(connection_.publish("$JS.API.DIRECT.GET." + std::string(stream), json::serialize(request),
                               no_headers, inbox));
  DirectBatch batch;
  const auto until = deadline();
  for (;;) {
    CO_TRY(const auto reply, co_await queue.next(until));
    const auto headers = reply.headers();
    if (headers.status() == 404 && batch.messages.empty()) co_return batch;
    if (headers.status() == 204) {  // end of the batch
      batch.num_pending = number(headers, "Nats-Num-Pending");
      batch.last_sequence = number(headers, "Nats-Last-Sequence");
      batch.up_to_sequence = number(headers, "Nats-UpTo-Sequence");
      co_return batch;
    }
    CO_TRY(auto stored, read_direct(reply.view()));
    batch.messages.push_back(std::move(stored));
  }
}

Task<std::string> JetStream::counted(std::string_view stream, std::string_view subject) {
  CO_TRY(const auto stored, co_await last_stored(stream, subject));
  CO_TRY(const auto body, wire::decode_reply(stored.message.payload()));
  std::string total(wire::text(body, "val"));
  if (total.empty()) co_return fail(errors::bad_reply);
  co_return total;
}

}  // namespace intra365::nats
