#include "services/gateway/parts.hpp"

#include <boost/json/serialize.hpp>

#include "contract/errors.hpp"
#include "json/json.hpp"
#include "services/gateway/gateway.hpp"
#include "services/gateway/translate.hpp"
#include "streaming/reader.hpp"

namespace intra365::services::gateway {
namespace {

namespace bj = boost::json;

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

/// A field of an event; a line end in the value would begin another field, so each line is one.
void add_field(std::string& event, std::string_view name, std::string_view value) {
  while (true) {
    const auto end = value.find_first_of("\r\n");
    event.append(name).append(": ").append(value.substr(0, end)).append("\n");
    if (end == std::string_view::npos) return;
    value.remove_prefix(end + (value.substr(end).starts_with("\r\n") ? 2 : 1));
  }
}

/// The next part, unless the gateway stops before it comes.
Task<std::optional<std::string>> next_part(std::shared_ptr<streaming::Reader> answer,
                                           std::shared_ptr<Stop> stop) {
  using namespace asio::experimental::awaitable_operators;
  auto first = co_await (contain(answer->next()) || stop->wait());
  if (first.index() == 0) co_return std::get<0>(std::move(first));
  co_return fail(intra365::errors::stopping);
}

/// Hands an answer on, part by part. What it holds lives in its own frame: it outlives the exchange.
asio::awaitable<void> pass_on(std::shared_ptr<streaming::Reader> answer, std::shared_ptr<Stop> stop,
                              std::string first, PartsFormat format, std::string trace_id,
                              http::BodyWriter& out) {
  std::optional<std::string> part = std::move(first);
  std::optional<Error> error;
  while (part) {
    const auto text = part_text(format, answer->parts(), *part);
    if (!text) {
      answer->cancel();
      error = text.error();
      break;
    }
    if (!co_await out.write(*text)) co_return;  // nobody is left to tell; the Mate is told by `answer`
    auto next = co_await next_part(answer, stop);
    if (!next) {
      error = std::move(next).error();
      break;
    }
    part = *std::move(next);
  }
  co_await out.write(end_text(format, answer->parts(), error ? &*error : nullptr, trace_id));
}

}  // namespace

std::string event_text(std::string_view name, std::string_view id, std::string_view data) {
  std::string event;
  add_field(event, "event", name);
  if (!id.empty()) add_field(event, "id", id);
  add_field(event, "data", data);
  return event += "\n";
}

std::optional<PartsFormat> asked_format(std::string_view accept) {
  while (!accept.empty()) {
    const auto item = accept.substr(0, accept.find(','));
    accept.remove_prefix(std::min(accept.size(), item.size() + 1));
    const auto type = trimmed(item.substr(0, item.find(';')));
    if (type == content_type(PartsFormat::events)) return PartsFormat::events;
    if (type == content_type(PartsFormat::lines)) return PartsFormat::lines;
  }
  return std::nullopt;
}

std::string_view content_type(PartsFormat format) {
  return format == PartsFormat::events ? "text/event-stream" : "application/x-ndjson";
}

Result<std::string> part_text(PartsFormat format, std::uint64_t number, std::string_view part) {
  const auto parsed = json::parse(part);
  const bj::value value = parsed ? *parsed : bj::value(part);
  const auto text = bj::serialize(value);
  if (!parsed && !json::parse(text)) return fail(streaming::errors::not_text);  // it reads nothing but UTF-8
  if (format == PartsFormat::events) return event_text("part", std::to_string(number), parsed ? text : part);
  return bj::serialize(bj::object{{"part", number}, {"data", value}}) + "\n";
}

std::string end_text(PartsFormat format, std::uint64_t parts, const Error* error, std::string_view trace_id) {
  bj::object body{{"parts", parts}};
  if (format == PartsFormat::events) {
    if (error == nullptr) return event_text("end", {}, bj::serialize(body));
    return event_text("error", {}, problem(*error, trace_id).body);
  }
  body["end"] = error == nullptr ? "ok" : error->code;
  if (error != nullptr) {
    if (auto described = json::parse(problem(*error, trace_id).body)) body["error"] = *std::move(described);
  }
  return bj::serialize(body) + "\n";
}

Task<http::Response> Gateway::stream_mate(const Exchange& exchange, nats::Connection& door, MateId mate,
                                          std::string subject, nats::HeaderBlock block, PartsFormat format,
                                          SteadyTime deadline) {
  streaming::ReaderOptions options;
  options.deadline = deadline;
  CO_TRY(auto opened,
         streaming::Reader::open(door, mate, subject, exchange.request.body, std::move(block), options));
  const auto answer = std::make_shared<streaming::Reader>(std::move(opened));
  // The status is decided by the first word: what is refused is refused as ever.
  CO_TRY(auto first, co_await next_part(answer, stop_));
  http::Response response;
  response.content_type = content_type(format);
  response.headers.emplace_back("Cache-Control", "no-store");
  const std::string trace_id(exchange.trace.trace_id());
  if (!first) {
    response.body = end_text(format, 0, nullptr, trace_id);
    co_return response;
  }
  response.stream = [answer, stop = stop_, part = *std::move(first), format, trace_id](
                        http::BodyWriter& out) { return pass_on(answer, stop, part, format, trace_id, out); };
  co_return response;
}

}  // namespace intra365::services::gateway
