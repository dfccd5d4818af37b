#include "nats/jetstream_wire.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>

#include "crypto/encoding.hpp"

namespace intra365::nats::wire {
namespace {

constexpr std::size_t kMaxNameLength = 128;
constexpr std::size_t kMaxErrorText = 256;

// The server's error numbers that callers react to (errors.json of nats-server).
constexpr std::uint64_t kStreamNameInUse = 10058;
constexpr std::uint64_t kWrongLastSequence = 10071, kWrongLastSequenceConstant = 10164;

std::int64_t limit(std::int64_t value) {
  return value > 0 ? value : -1;
}

json::array strings(const std::vector<std::string>& values) {
  json::array array;
  for (const auto& value : values) array.emplace_back(value);
  return array;
}

bool is_default(const json::value& value) {
  if (const auto* flag = value.if_bool()) return !*flag;
  if (const auto* string = value.if_string()) return string->empty();
  if (const auto* integer = value.if_int64()) return *integer == 0 || *integer == -1;
  if (const auto* array = value.if_array()) return array->empty();
  return false;
}

/// Standard base64 with padding, as the server writes it.
std::optional<std::string> decode_base64(std::string_view encoded) {
  std::string url(encoded);
  while (url.ends_with('=')) url.pop_back();
  std::ranges::replace(url, '+', '-');
  std::ranges::replace(url, '/', '_');
  return crypto::decode_base64url(url);
}

std::string err_code_suffix(std::uint64_t err_code) {
  return " (err_code " + std::to_string(err_code) + ")";
}

}  // namespace

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameLength && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

json::object encode(const StreamConfig& config) {
  auto duplicate_window = config.duplicate_window;
  if (config.max_age.count() > 0) duplicate_window = std::min(duplicate_window, config.max_age);
  json::object out;
  out["name"] = config.name;
  out["description"] = config.description;
  out["subjects"] =
      config.subjects.empty() ? json::array{json::value(config.name)} : strings(config.subjects);
  out["retention"] = config.retention;
  out["storage"] = config.storage;
  out["discard"] = config.discard;
  out["max_msgs_per_subject"] = limit(config.max_msgs_per_subject);
  out["max_bytes"] = limit(config.max_bytes);
  out["max_msgs"] = limit(config.max_msgs);
  out["max_age"] = std::int64_t{config.max_age.count()};
  out["duplicate_window"] = std::int64_t{duplicate_window.count()};
  out["num_replicas"] = config.num_replicas;
  out["allow_direct"] = config.allow_direct;
  out["allow_rollup_hdrs"] = config.allow_rollup_hdrs;
  out["deny_delete"] = config.deny_delete;
  // Fields that older servers do not know are named only when they are asked for.
  if (config.allow_msg_ttl) out["allow_msg_ttl"] = true;
  if (config.allow_atomic) out["allow_atomic"] = true;
  if (config.subject_delete_marker_ttl.count() > 0)
    out["subject_delete_marker_ttl"] = std::int64_t{config.subject_delete_marker_ttl.count()};
  return out;
}

json::object encode(const ConsumerConfig& config) {
  json::object out;
  out["name"] = config.durable_name;
  out["durable_name"] = config.durable_name;
  out["deliver_policy"] = config.deliver_policy;
  if (config.opt_start_seq > 0) out["opt_start_seq"] = config.opt_start_seq;
  if (!config.filter_subjects.empty()) out["filter_subjects"] = strings(config.filter_subjects);
  out["ack_policy"] = config.ack_policy;
  out["max_deliver"] = limit(config.max_deliver);
  if (config.ack_policy != "none") {
    out["ack_wait"] = std::int64_t{config.ack_wait.count()};
    out["max_ack_pending"] = limit(config.max_ack_pending);
  }
  if (config.inactive_threshold.count() > 0)
    out["inactive_threshold"] = std::int64_t{config.inactive_threshold.count()};
  return out;
}

bool overlay(json::object& current, const json::object& wanted) {
  bool changed = false;
  for (const auto& [name, value] : wanted) {
    const auto* have = current.if_contains(name);
    if (have ? *have == value : is_default(value)) continue;
    current[name] = value;
    changed = true;
  }
  return changed;
}

Error api_error(const json::object& error) {
  const auto code = number(error, "code");
  const auto err_code = number(error, "err_code");
  auto detail = std::string(text(error, "description").substr(0, kMaxErrorText)) + err_code_suffix(err_code);
  if (err_code == kWrongLastSequence || err_code == kWrongLastSequenceConstant)
    return Error(errors::wrong_revision, std::move(detail));
  if (err_code == kStreamNameInUse) return Error(errors::exists, std::move(detail));
  if (code == 404) return Error(errors::not_found, std::move(detail));
  if (code == 503) return Error(errors::jetstream_unavailable, std::move(detail));
  return Error(errors::jetstream, std::move(detail));
}

bool has_err_code(const Error& error, std::uint64_t err_code) {
  return error.detail.ends_with(err_code_suffix(err_code));
}

Result<json::object> decode_reply(std::string_view payload) {
  boost::system::error_code error;
  auto value = json::parse(payload, error);
  if (error || !value.is_object()) return fail(errors::bad_reply);
  auto& object = value.get_object();
  if (const auto* refusal = child(object, "error")) return fail(api_error(*refusal));
  return std::move(object);
}

Result<PublishAck> decode_publish_ack(std::string_view payload) {
  TRY(const auto reply, decode_reply(payload));
  PublishAck ack;
  ack.stream = text(reply, "stream");
  ack.sequence = number(reply, "seq");
  ack.batch_count = number(reply, "count");
  if (const auto* duplicate = reply.if_contains("duplicate"); duplicate && duplicate->is_bool())
    ack.duplicate = duplicate->get_bool();
  // Whoever answers on the subject may be no stream at all: then nothing has been stored.
  if (ack.stream.empty() || ack.sequence == 0) return fail(errors::bad_reply);
  return ack;
}

StreamState decode_state(const json::object& stream_info) {
  StreamState state;
  state.created = text(stream_info, "created");
  if (const auto* object = child(stream_info, "state")) {
    state.messages = number(*object, "messages");
    state.bytes = number(*object, "bytes");
    state.first_seq = number(*object, "first_seq");
    state.last_seq = number(*object, "last_seq");
  }
  return state;
}

Result<StoredMessage> decode_stored(const json::object& reply) {
  const auto* object = child(reply, "message");
  if (!object) return fail(errors::bad_reply);
  const auto payload = decode_base64(text(*object, "data"));
  const auto headers = decode_base64(text(*object, "hdrs"));
  if (!payload || !headers) return fail(errors::bad_reply);
  MessageView view;
  view.subject = text(*object, "subject");
  view.headers = HeaderView(*headers);
  view.payload = *payload;
  return StoredMessage{Message(view), number(*object, "seq")};
}

std::uint64_t number(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  if (!value) return 0;
  if (const auto* integer = value->if_int64()) return *integer > 0 ? static_cast<std::uint64_t>(*integer) : 0;
  if (const auto* integer = value->if_uint64()) return *integer;
  return 0;
}

std::string_view text(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  const auto* string = value ? value->if_string() : nullptr;
  return string ? std::string_view(string->data(), string->size()) : std::string_view();
}

const json::object* child(const json::object& object, std::string_view name) {
  const auto* value = object.if_contains(name);
  return value ? value->if_object() : nullptr;
}

std::optional<Delivery> parse_ack_subject(std::string_view reply) {
  constexpr std::size_t kMaxTokens = 16;  // twelve today; the server may append more
  std::array<std::string_view, kMaxTokens> tokens;
  std::size_t count = 0;
  for (std::size_t at = 0; at <= reply.size() && count < kMaxTokens;) {
    const auto dot = std::min(reply.find('.', at), reply.size());
    tokens[count++] = reply.substr(at, dot - at);
    at = dot + 1;
  }
  if (count < 9 || count == 10 || tokens[0] != "$JS" || tokens[1] != "ACK") return std::nullopt;
  const std::size_t first = count == 9 ? 4 : 6;
  std::array<std::uint64_t, 5> numbers{};
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto token = tokens[first + i];
    const auto [end, error] = std::from_chars(token.data(), token.data() + token.size(), numbers[i]);
    if (error != std::errc() || end != token.data() + token.size()) return std::nullopt;
  }
  return Delivery{numbers[0], numbers[1], numbers[2], numbers[3], numbers[4]};
}

Task<json::object> call(Connection& connection, std::string operation, std::string payload,
                        SteadyTime deadline) {
  const auto subject = "$JS.API." + operation;
  const HeaderBlock no_headers;
  CO_TRY(const auto reply, co_await connection.request(subject, payload, no_headers, deadline));
  co_return decode_reply(reply.payload());
}

}  // namespace intra365::nats::wire
