// Consumers: making, looking at and steering them.
#include <boost/json.hpp>

#include "base/ids.hpp"
#include "nats/jetstream.hpp"
#include "nats/jetstream_wire.hpp"

namespace intra365::nats {
namespace {

namespace json = boost::json;
using wire::call;

constexpr std::size_t kRandomNameChars = 22;

std::string operation(std::string_view verb, std::string_view stream, std::string_view consumer) {
  return "CONSUMER." + std::string(verb) + "." + std::string(stream) + "." + std::string(consumer);
}

/// `action` empty: creates or updates.
Task<ConsumerInfo> create(Connection& connection, std::string stream, ConsumerConfig config,
                          std::string_view action, SteadyTime deadline) {
  if (config.name.empty()) config.name = config.durable_name;
  if (config.name.empty()) config.name = random_token(kRandomNameChars);
  if (!wire::is_name(stream) || !wire::is_name(config.name)) co_return fail(errors::bad_name);
  json::object request;
  request["stream_name"] = stream;
  request["config"] = wire::encode(config);
  if (!action.empty()) request["action"] = action;
  CO_TRY(const auto reply,
         co_await call(connection, operation("CREATE", stream, config.name), json::serialize(request),
                       deadline, wire::required_api_level(config)));
  co_return wire::decode_consumer_info(reply);
}

}  // namespace

Task<> JetStream::ensure_consumer(std::string_view stream, const ConsumerConfig& config) {
  if (!wire::is_name(config.durable_name)) co_return fail(errors::bad_name);
  CO_CHECK(co_await require(wire::required_api_level(config)));
  CO_CHECK(co_await create(connection_, std::string(stream), config, "", deadline()));
  co_return Result<void>();
}

Task<ConsumerInfo> JetStream::create_consumer(std::string_view stream, const ConsumerConfig& config) {
  CO_CHECK(co_await require(wire::required_api_level(config)));
  co_return co_await create(connection_, std::string(stream), config, "create", deadline());
}

Task<ConsumerInfo> JetStream::update_consumer(std::string_view stream, const ConsumerConfig& config) {
  CO_CHECK(co_await require(wire::required_api_level(config)));
  co_return co_await create(connection_, std::string(stream), config, "update", deadline());
}

Task<ConsumerInfo> JetStream::consumer_info(std::string_view stream, std::string_view consumer) {
  if (!wire::is_name(stream) || !wire::is_name(consumer)) co_return fail(errors::bad_name);
  CO_TRY(const auto reply, co_await call(connection_, operation("INFO", stream, consumer), "", deadline()));
  co_return wire::decode_consumer_info(reply);
}

Task<std::vector<std::string>> JetStream::consumer_names(std::string_view stream) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  const json::object no_filter;
  CO_TRY(const auto rows, co_await wire::list(connection_, "CONSUMER.NAMES." + std::string(stream), no_filter,
                                              "consumers", timeout_));
  co_return wire::texts(rows);
}

Task<std::vector<ConsumerInfo>> JetStream::consumers(std::string_view stream) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  const json::object no_filter;
  CO_TRY(const auto rows, co_await wire::list(connection_, "CONSUMER.LIST." + std::string(stream), no_filter,
                                              "consumers", timeout_));
  std::vector<ConsumerInfo> consumers;
  for (const auto& row : rows) {
    if (const auto* object = row.if_object()) consumers.push_back(wire::decode_consumer_info(*object));
  }
  co_return consumers;
}

Task<> JetStream::delete_consumer(std::string_view stream, std::string_view consumer) {
  if (!wire::is_name(stream) || !wire::is_name(consumer)) co_return fail(errors::bad_name);
  CO_CHECK(co_await call(connection_, operation("DELETE", stream, consumer), "", deadline()));
  co_return Result<void>();
}

Task<std::chrono::nanoseconds> JetStream::pause_consumer(std::string_view stream, std::string_view consumer,
                                                         std::string_view until) {
  if (!wire::is_name(stream) || !wire::is_name(consumer)) co_return fail(errors::bad_name);
  CO_CHECK(co_await require(1));
  json::object request;
  request["pause_until"] = until;
  CO_TRY(const auto reply, co_await call(connection_, operation("PAUSE", stream, consumer),
                                         json::serialize(request), deadline()));
  co_return std::chrono::nanoseconds(wire::number(reply, "pause_remaining"));
}

Task<> JetStream::resume_consumer(std::string_view stream, std::string_view consumer) {
  if (!wire::is_name(stream) || !wire::is_name(consumer)) co_return fail(errors::bad_name);
  CO_CHECK(co_await require(1));
  CO_CHECK(co_await call(connection_, operation("PAUSE", stream, consumer), "", deadline()));
  co_return Result<void>();
}

Task<> JetStream::unpin_consumer(std::string_view stream, std::string_view consumer, std::string_view group) {
  if (!wire::is_name(stream) || !wire::is_name(consumer)) co_return fail(errors::bad_name);
  CO_CHECK(co_await require(1));
  json::object request;
  request["group"] = group;
  CO_CHECK(
      co_await call(connection_, operation("UNPIN", stream, consumer), json::serialize(request), deadline()));
  co_return Result<void>();
}

Task<> JetStream::reset_consumer(std::string_view stream, std::string_view consumer, std::uint64_t sequence) {
  if (!wire::is_name(stream) || !wire::is_name(consumer)) co_return fail(errors::bad_name);
  CO_CHECK(co_await require(4));
  json::object request;
  if (sequence != 0) request["seq"] = sequence;
  const auto body = sequence == 0 ? std::string() : json::serialize(request);
  CO_CHECK(co_await call(connection_, operation("RESET", stream, consumer), body, deadline()));
  co_return Result<void>();
}

}  // namespace intra365::nats
