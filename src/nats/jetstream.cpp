// Streams and consumers: the management half of JetStream.
#include "nats/jetstream.hpp"

#include <boost/json.hpp>

#include "nats/jetstream_wire.hpp"

namespace intra365::nats {

using wire::call;

namespace json = boost::json;

JetStream::JetStream(Connection& connection, std::chrono::milliseconds timeout)
    : connection_(connection), timeout_(timeout) {}

Task<StreamState> JetStream::ensure_stream(const StreamConfig& config) {
  if (!wire::is_name(config.name)) co_return fail(errors::bad_name);
  const auto wanted = wire::encode(config);
  auto info = co_await call(connection_, "STREAM.INFO." + config.name, "", deadline());
  if (!info && info.error().is(errors::not_found)) {
    auto made =
        co_await call(connection_, "STREAM.CREATE." + config.name, json::serialize(wanted), deadline());
    if (made) co_return wire::decode_state(*made);
    // Somebody made it between the two requests: go on as if it had been there.
    if (!made.error().is(errors::exists)) co_return fail(std::move(made).error());
    info = co_await call(connection_, "STREAM.INFO." + config.name, "", deadline());
  }
  if (!info) co_return fail(std::move(info).error());
  const auto* current = wire::child(*info, "config");
  if (!current) co_return fail(errors::bad_reply);
  auto merged = *current;
  if (!wire::overlay(merged, wanted)) co_return wire::decode_state(*info);
  CO_TRY(const auto updated,
         co_await call(connection_, "STREAM.UPDATE." + config.name, json::serialize(merged), deadline()));
  co_return wire::decode_state(updated);
}

Task<StreamState> JetStream::stream_state(std::string_view stream) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  CO_TRY(const auto info, co_await call(connection_, "STREAM.INFO." + std::string(stream), "", deadline()));
  co_return wire::decode_state(info);
}

Task<> JetStream::delete_stream(std::string_view stream) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  CO_CHECK(co_await call(connection_, "STREAM.DELETE." + std::string(stream), "", deadline()));
  co_return Result<void>();
}

Task<> JetStream::purge_stream(std::string_view stream, std::string_view subject_filter) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  json::object filter;
  if (!subject_filter.empty()) filter["filter"] = subject_filter;
  CO_CHECK(
      co_await call(connection_, "STREAM.PURGE." + std::string(stream), json::serialize(filter), deadline()));
  co_return Result<void>();
}

Task<> JetStream::ensure_consumer(std::string_view stream, const ConsumerConfig& config) {
  if (!wire::is_name(stream) || !wire::is_name(config.durable_name)) co_return fail(errors::bad_name);
  json::object request;
  request["stream_name"] = stream;
  request["config"] = wire::encode(config);
  const auto operation = "CONSUMER.CREATE." + std::string(stream) + "." + config.durable_name;
  CO_CHECK(co_await call(connection_, operation, json::serialize(request), deadline()));
  co_return Result<void>();
}

Task<> JetStream::delete_consumer(std::string_view stream, std::string_view consumer) {
  if (!wire::is_name(stream) || !wire::is_name(consumer)) co_return fail(errors::bad_name);
  const auto operation = "CONSUMER.DELETE." + std::string(stream) + "." + std::string(consumer);
  CO_CHECK(co_await call(connection_, operation, "", deadline()));
  co_return Result<void>();
}

Task<int> JetStream::api_level() {
  CO_TRY(const auto info, co_await call(connection_, "INFO", "", deadline()));
  const auto* api = wire::child(info, "api");
  co_return api ? static_cast<int>(std::min<std::uint64_t>(wire::number(*api, "level"), 1000)) : 0;
}

Task<StoredMessage> JetStream::last_stored(std::string_view stream, std::string_view subject) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  if (!is_publish_subject(subject)) co_return fail(errors::bad_subject);
  json::object request;
  request["last_by_subj"] = subject;
  CO_TRY(const auto reply, co_await call(connection_, "STREAM.MSG.GET." + std::string(stream),
                                         json::serialize(request), deadline()));
  co_return wire::decode_stored(reply);
}

Task<Message> JetStream::last_message(std::string_view stream, std::string_view subject) {
  CO_TRY(auto stored, co_await last_stored(stream, subject));
  co_return std::move(stored.message);
}

}  // namespace intra365::nats
