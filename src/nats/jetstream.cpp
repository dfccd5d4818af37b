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
  const auto level = wire::required_api_level(config);
  CO_CHECK(co_await require(level));
  const auto wanted = wire::encode(config);
  auto info = co_await call(connection_, "STREAM.INFO." + config.name, "", deadline());
  if (!info && info.error().is(errors::not_found)) {
    auto made = co_await call(connection_, "STREAM.CREATE." + config.name, json::serialize(wanted),
                              deadline(), level);
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
  CO_TRY(const auto updated, co_await call(connection_, "STREAM.UPDATE." + config.name,
                                           json::serialize(merged), deadline(), level));
  co_return wire::decode_state(updated);
}

Task<StreamInfo> JetStream::create_stream(const StreamConfig& config) {
  if (!wire::is_name(config.name)) co_return fail(errors::bad_name);
  const auto level = wire::required_api_level(config);
  const auto body = json::serialize(wire::encode(config));
  CO_CHECK(co_await require(level));
  CO_TRY(const auto made,
         co_await call(connection_, "STREAM.CREATE." + config.name, body, deadline(), level));
  co_return wire::decode_stream_info(made);
}

Task<StreamInfo> JetStream::update_stream(const StreamConfig& config) {
  if (!wire::is_name(config.name)) co_return fail(errors::bad_name);
  const auto level = wire::required_api_level(config);
  const auto body = json::serialize(wire::encode(config));
  CO_CHECK(co_await require(level));
  CO_TRY(const auto updated,
         co_await call(connection_, "STREAM.UPDATE." + config.name, body, deadline(), level));
  co_return wire::decode_stream_info(updated);
}

Task<StreamInfo> JetStream::stream_info(std::string_view stream, std::string_view subjects_filter) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  const auto operation = "STREAM.INFO." + std::string(stream);
  json::object request;
  if (!subjects_filter.empty()) request["subjects_filter"] = subjects_filter;
  StreamInfo info;
  // The server gives the subjects in pages.
  for (;;) {
    CO_TRY(const auto reply, co_await call(connection_, operation, json::serialize(request), deadline()));
    auto page = wire::decode_stream_info(reply);
    const auto count = page.subjects.size();
    page.subjects.merge(info.subjects);
    info = std::move(page);
    if (count == 0 || info.subjects.size() >= wire::number(reply, "total")) break;
    request["offset"] = info.subjects.size();
  }
  co_return info;
}

Task<std::vector<std::string>> JetStream::stream_names(std::string_view subject) {
  json::object filter;
  if (!subject.empty()) filter["subject"] = subject;
  CO_TRY(const auto rows, co_await wire::list(connection_, "STREAM.NAMES", filter, "streams", timeout_));
  co_return wire::texts(rows);
}

Task<std::vector<StreamInfo>> JetStream::streams(std::string_view subject) {
  json::object filter;
  if (!subject.empty()) filter["subject"] = subject;
  CO_TRY(const auto rows, co_await wire::list(connection_, "STREAM.LIST", filter, "streams", timeout_));
  std::vector<StreamInfo> streams;
  for (const auto& row : rows) {
    if (const auto* object = row.if_object()) streams.push_back(wire::decode_stream_info(*object));
  }
  co_return streams;
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
  PurgeOptions options;
  options.filter = subject_filter;
  CO_CHECK(co_await purge(stream, options));
  co_return Result<void>();
}

Task<std::uint64_t> JetStream::purge(std::string_view stream, const PurgeOptions& options) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  json::object request;
  if (!options.filter.empty()) request["filter"] = options.filter;
  if (options.seq != 0) request["seq"] = options.seq;
  if (options.keep != 0) request["keep"] = options.keep;
  CO_TRY(const auto reply, co_await call(connection_, "STREAM.PURGE." + std::string(stream),
                                         json::serialize(request), deadline()));
  co_return wire::number(reply, "purged");
}

Task<> JetStream::delete_message(std::string_view stream, std::uint64_t sequence, Erase erase) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  json::object request;
  request["seq"] = sequence;
  if (erase == Erase::no) request["no_erase"] = true;
  CO_CHECK(co_await call(connection_, "STREAM.MSG.DELETE." + std::string(stream), json::serialize(request),
                         deadline()));
  co_return Result<void>();
}

Task<> JetStream::seal_stream(std::string_view stream) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  CO_TRY(const auto info, co_await call(connection_, "STREAM.INFO." + std::string(stream), "", deadline()));
  const auto* current = wire::child(info, "config");
  if (!current) co_return fail(errors::bad_reply);
  auto sealed = *current;
  sealed["sealed"] = true;
  CO_CHECK(co_await call(connection_, "STREAM.UPDATE." + std::string(stream), json::serialize(sealed),
                         deadline()));
  co_return Result<void>();
}

Task<> JetStream::step_down(std::string_view stream, std::string_view preferred) {
  if (!wire::is_name(stream)) co_return fail(errors::bad_name);
  json::object request;
  if (!preferred.empty()) request["placement"] = json::object{{"preferred", preferred}};
  const auto body = preferred.empty() ? std::string() : json::serialize(request);
  CO_CHECK(co_await call(connection_, "STREAM.LEADER.STEPDOWN." + std::string(stream), body, deadline()));
  co_return Result<void>();
}

Task<int> JetStream::api_level() {
  CO_TRY(const auto info, co_await account_info());
  level_server_ = connection_.server().server_id;
  level_ = static_cast<int>(std::min<std::uint64_t>(info.api_level, 1000));
  co_return level_;
}

/// Servers before 2.12 would ignore both the header that names a level and the fields they do not know.
Task<> JetStream::require(int api_level) {
  if (api_level == 0) co_return Result<void>();
  if (level_server_.empty() || level_server_ != connection_.server().server_id)
    CO_CHECK(co_await this->api_level());
  if (level_ < api_level) co_return fail(errors::unsupported);
  co_return Result<void>();
}

Task<AccountInfo> JetStream::account_info() {
  CO_TRY(const auto info, co_await call(connection_, "INFO", "", deadline()));
  co_return wire::decode_account(info);
}

}  // namespace intra365::nats
