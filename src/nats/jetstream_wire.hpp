// The bytes of the JetStream API: configurations as JSON, replies, errors and ack subjects. Pure functions,
// apart from `call`, which is one API request. Internal to this folder.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "nats/jetstream.hpp"

namespace intra365::nats::wire {

namespace json = boost::json;

/// True for `[A-Za-z0-9_-]{1,128}`: what may be spliced into an API subject as one token.
bool is_name(std::string_view text);

/// The server's field names only; it refuses others. Limits are normalised to -1 for "none".
json::object encode(const StreamConfig& config);
json::object encode(const ConsumerConfig& config);
/// What `$JS.API.INFO` must name as `api.level` for a server to know every field that is used.
int required_api_level(const StreamConfig& config);
int required_api_level(const ConsumerConfig& config);
/// Lays `wanted` over `current`. False when nothing had to change; an absent field counts as its default.
bool overlay(json::object& current, const json::object& wanted);

/// Reads a reply of the API. An `error` member becomes the Error it stands for.
Result<json::object> decode_reply(std::string_view payload);
/// What `{"error":{code,err_code,description}}` means to a caller.
Error api_error(const json::object& error);
/// True when `error` came from `api_error` with this number: where two 404 mean different things.
bool has_err_code(const Error& error, std::uint64_t err_code);
inline constexpr std::uint64_t kNoMessageFound = 10037;
Result<PublishAck> decode_publish_ack(std::string_view payload);
StreamState decode_state(const json::object& stream_info);
StreamInfo decode_stream_info(const json::object& reply);
ConsumerInfo decode_consumer_info(const json::object& reply);
AccountInfo decode_account(const json::object& reply);
/// The message of a STREAM.MSG.GET reply.
Result<StoredMessage> decode_stored(const json::object& reply);

/// Numbers and texts of a reply; 0 or empty where they are absent or of another type.
std::uint64_t number(const json::object& object, std::string_view name);
std::string_view text(const json::object& object, std::string_view name);
const json::object* child(const json::object& object, std::string_view name);

/// What the reply subject of a delivered message says: `$JS.ACK.<stream>.<consumer>.…` with nine tokens, or
/// with domain and account hash in front and eleven or more.
struct Delivery {
  std::uint64_t delivered = 0, stream_sequence = 0, consumer_sequence = 0, timestamp_ns = 0, pending = 0;
};
std::optional<Delivery> parse_ack_subject(std::string_view reply);

/// One request to `$JS.API.<operation>`. Servers since 2.12 refuse it when they are below the API level.
Task<json::object> call(Connection& connection, std::string operation, std::string payload,
                        SteadyTime deadline, int required_api_level = 0);

/// Every row of a paged listing, from its member `rows`. The pages together end within `timeout`.
Task<json::array> list(Connection& connection, std::string operation, json::object filter, std::string rows,
                       std::chrono::milliseconds timeout);
/// The strings among `rows`.
std::vector<std::string> texts(const json::array& rows);

}  // namespace intra365::nats::wire
