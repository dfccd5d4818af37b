#include "nats/jetstream_wire.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>

#include "crypto/encoding.hpp"
#include "nats/jetstream_fields.hpp"

namespace intra365::nats::wire {
namespace {

constexpr std::size_t kMaxNameLength = 128;
constexpr std::size_t kMaxErrorText = 256;

// The server's error numbers that callers react to (errors.json of nats-server).
constexpr std::uint64_t kStreamNameInUse = 10058, kConsumerExists = 10148;
constexpr std::uint64_t kRequiredApiLevel = 10185;
constexpr std::uint64_t kBatchDuplicate = 10201, kBatchesInFlight = 10210;
constexpr std::uint64_t kWrongLastMessageId = 10070, kWrongLastSequence = 10071,
                        kWrongLastSequenceConstant = 10164;

std::int64_t limit(std::int64_t value) {
  return value > 0 ? value : -1;
}

bool is_default(const json::value& value) {
  if (const auto* flag = value.if_bool()) return !*flag;
  if (const auto* string = value.if_string()) return string->empty();
  if (const auto* integer = value.if_int64()) return *integer == 0 || *integer == -1;
  if (const auto* array = value.if_array()) return array->empty();
  return false;
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
  auto normal = config;
  if (config.max_age.count() > 0) normal.duplicate_window = std::min(config.duplicate_window, config.max_age);
  if (config.subjects.empty() && !config.mirror && config.sources.empty()) normal.subjects = {config.name};
  normal.max_msgs_per_subject = limit(config.max_msgs_per_subject);
  if (config.max_bytes) normal.max_bytes = limit(*config.max_bytes);
  if (config.max_msgs) normal.max_msgs = limit(*config.max_msgs);
  if (config.mirror) normal.duplicate_window = {};
  return encode_fields(normal);
}

json::object encode(const ConsumerConfig& config) {
  auto normal = config;
  if (normal.name.empty()) normal.name = config.durable_name;
  normal.max_deliver = limit(config.max_deliver);
  normal.max_ack_pending = limit(config.max_ack_pending);
  // With a backoff the server derives the wait; without acknowledgements there is nothing to wait for.
  if (config.ack_policy == "none" || !config.backoff.empty()) normal.ack_wait = {};
  if (config.ack_policy == "none") normal.max_ack_pending = 0;
  return encode_fields(normal);
}

int required_api_level(const StreamConfig& config) {
  if (config.allow_batched) return 4;
  if (config.allow_atomic || config.allow_msg_counter || config.allow_msg_schedules ||
      !config.persist_mode.empty())
    return 2;
  return config.allow_msg_ttl || config.subject_delete_marker_ttl.count() > 0 ? 1 : 0;
}

int required_api_level(const ConsumerConfig& config) {
  if (config.priority_policy == "prioritized") return 2;
  return config.priority_groups.empty() && config.pause_until.empty() ? 0 : 1;
}

bool overlay(json::object& current, const json::object& wanted) {
  bool changed = false;
  for (const auto& [name, value] : wanted) {
    auto* const have = current.if_contains(name);
    if (have ? *have == value : is_default(value)) continue;
    // The server adds members of its own to what we gave it: metadata, limits.
    if (have && have->is_object() && value.is_object()) {
      changed |= overlay(have->get_object(), value.get_object());
      continue;
    }
    current[name] = value;
    changed = true;
  }
  return changed;
}

Error api_error(const json::object& error) {
  const auto code = number(error, "code");
  const auto err_code = number(error, "err_code");
  auto detail = std::string(text(error, "description").substr(0, kMaxErrorText)) + err_code_suffix(err_code);
  if (err_code == kWrongLastMessageId || err_code == kWrongLastSequence ||
      err_code == kWrongLastSequenceConstant)
    return Error(errors::wrong_revision, std::move(detail));
  if (err_code == kStreamNameInUse || err_code == kConsumerExists)
    return Error(errors::exists, std::move(detail));
  if (err_code == kBatchDuplicate) return Error(errors::duplicate, std::move(detail));
  if (err_code == kBatchesInFlight) return Error(errors::too_many_batches, std::move(detail));
  if (err_code == kRequiredApiLevel) return Error(errors::unsupported, std::move(detail));
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
  ack.value = text(reply, "val");
  if (const auto* duplicate = reply.if_contains("duplicate"); duplicate && duplicate->is_bool())
    ack.duplicate = duplicate->get_bool();
  // Whoever answers on the subject may be no stream at all: then nothing has been stored.
  if (ack.stream.empty() || ack.sequence == 0) return fail(errors::bad_reply);
  return ack;
}

StreamState decode_state(const json::object& stream_info) {
  StreamState state;
  if (const auto* object = child(stream_info, "state")) state = decode_fields<StreamState>(*object);
  state.created = text(stream_info, "created");
  return state;
}

StreamInfo decode_stream_info(const json::object& reply) {
  StreamInfo info;
  if (const auto* config = child(reply, "config")) info.config = decode_fields<StreamConfig>(*config);
  if (const auto* cluster = child(reply, "cluster")) info.cluster = decode_fields<ClusterInfo>(*cluster);
  info.state = decode_state(reply);
  const auto* state = child(reply, "state");
  if (const auto* subjects = state ? state->if_contains("subjects") : nullptr)
    Decoder::read(*subjects, info.subjects);
  return info;
}

ConsumerInfo decode_consumer_info(const json::object& reply) {
  auto info = decode_fields<ConsumerInfo>(reply);
  const auto* config = child(reply, "config");
  if (const auto one = config ? text(*config, "filter_subject") : std::string_view(); !one.empty())
    info.config.filter_subjects.emplace_back(one);
  return info;
}

AccountInfo decode_account(const json::object& reply) {
  auto info = decode_fields<AccountInfo>(reply);
  if (const auto* api = child(reply, "api")) {
    info.api_level = number(*api, "level");
    info.api_total = number(*api, "total");
    info.api_errors = number(*api, "errors");
  }
  return info;
}

Result<StoredMessage> decode_stored(const json::object& reply) {
  const auto* object = child(reply, "message");
  if (!object) return fail(errors::bad_reply);
  const auto payload = crypto::decode_base64(text(*object, "data"));
  const auto headers = crypto::decode_base64(text(*object, "hdrs"));
  if (!payload || !headers) return fail(errors::bad_reply);
  MessageView view;
  view.subject = text(*object, "subject");
  view.headers = HeaderView(*headers);
  view.payload = *payload;
  return StoredMessage{Message(view), number(*object, "seq"), std::string(text(*object, "time"))};
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
                        SteadyTime deadline, int required_api_level) {
  const auto subject = "$JS.API." + operation;
  HeaderBlock headers;
  if (required_api_level > 0) headers.add("Nats-Required-Api-Level", std::to_string(required_api_level));
  CO_TRY(const auto reply, co_await connection.request(subject, payload, headers, deadline));
  co_return decode_reply(reply.payload());
}

Task<json::array> list(Connection& connection, std::string operation, json::object filter, std::string rows,
                       std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  json::array all;
  for (;;) {
    filter["offset"] = all.size();
    CO_TRY(auto reply, co_await call(connection, operation, json::serialize(filter), deadline));
    auto* const page = reply.if_contains(rows);
    if (!page || !page->is_array() || page->get_array().empty()) co_return all;
    for (auto& row : page->get_array()) all.push_back(std::move(row));
    if (all.size() >= number(reply, "total")) co_return all;
  }
}

std::vector<std::string> texts(const json::array& rows) {
  std::vector<std::string> texts;
  for (const auto& row : rows) {
    if (const auto* text = row.if_string()) texts.emplace_back(text->data(), text->size());
  }
  return texts;
}

}  // namespace intra365::nats::wire
