#include "services/events/change_reader.hpp"

#include <charconv>

#include "cdc/marks.hpp"
#include "contract/errors.hpp"
#include "platform/changes.hpp"

namespace intra365::services::events {
namespace {

constexpr int kPage = 100, kMostPage = 500;
constexpr int kMostWaitMs = 5000;
constexpr std::size_t kMostBytes = 512u
                                   << 10;  ///< of a page with more than one change: a reply is one message
constexpr auto kKept = std::chrono::seconds(30);  ///< a consumer whose request was lost
constexpr auto kFetchTime = std::chrono::milliseconds(2000);

/// A table as the publication's mark names it.
struct Carried {
  std::string name;
};
BOOST_DESCRIBE_STRUCT(Carried, (), (name))
struct Publication {
  std::vector<Carried> tables;
};
BOOST_DESCRIBE_STRUCT(Publication, (), (tables))

std::string of_slot(std::string_view kind) {
  return "change." + std::string(kind) + "." + std::string(platform::changes_slot);
}

/// Rows of the tenant, and what tells a follower that it does not have everything.
std::vector<std::string> subjects_of(const std::string& table, const TenantId& tenant) {
  const auto rows = "row." + table + ".";
  return {"change." + rows + tenant.str() + ".>",
          "change." + rows + "-.>",  // emptied, for every tenant
          "change.snapshot." + rows + tenant.str() + ".>",
          of_slot("snapshot.begin"),
          of_slot("snapshot.end"),
          of_slot("gap")};
}

/// What a mark of the stream says, in the form of a change.
boost::json::value told(std::string_view subject, boost::json::value payload) {
  const auto mark = intra365::cdc::mark_of(subject, "change", platform::changes_slot);
  if (auto* words = payload.if_object(); words && !mark.empty()) {
    words->erase("tables");  // of no interest to who reads one
    (*words)["operation"] = mark;
  }
  return payload;
}

}  // namespace

std::string ChangesCursor::text() const {
  return std::to_string(sequence) + "~" + stream;
}

Result<ChangesCursor> ChangesCursor::parse(std::string_view text) {
  ChangesCursor cursor;
  const auto split = text.find('~');
  if (split == std::string_view::npos) return fail(errors::bad_cursor);
  const auto [end, error] = std::from_chars(text.data(), text.data() + split, cursor.sequence);
  if (error != std::errc{} || end != text.data() + split) return fail(errors::bad_cursor);
  cursor.stream = text.substr(split + 1);
  return cursor;
}

Task<> ChangeReader::check_table(std::string table) {
  const auto mark = co_await environment_.jetstream.last_message("CHANGES", of_slot("publication"));
  if (!mark && mark.error().kind == ErrorKind::not_found) co_return fail(errors::not_yet);
  if (!mark) co_return fail(mark.error());
  CO_TRY(const auto publication, json::decode<Publication>(mark->payload(), json::Unknown::ignore));
  std::string names;
  for (const auto& one : publication.tables) {
    const auto name = one.name.substr(one.name.find('.') + 1);
    if (name == table) co_return Result<void>{};
    names += (names.empty() ? "" : ", ") + name;
  }
  co_return fail(errors::unknown_table, "'" + table + "' is not one of " + names);
}

Task<cdc::ChangesReply> ChangeReader::read(const platform::Caller& caller,
                                           const cdc::ChangesRequest& request) {
  caller.note->resource = "table:" + request.table.substr(0, 64);
  const int limit = request.limit.value_or(kPage), wait_ms = request.wait_ms.value_or(0);
  if (limit < 1 || limit > kMostPage) co_return fail(intra365::errors::bad_value, "limit: 1 to 500");
  if (wait_ms < 0 || wait_ms > kMostWaitMs) co_return fail(intra365::errors::bad_value, "waitMs: 0 to 5000");
  if (request.cursor && request.since)
    co_return fail(intra365::errors::bad_value, "since: a cursor says already where to go on");
  if (!is_token(request.table))
    co_return fail(intra365::errors::bad_value, "table: the name of a table, without its schema");

  auto& jetstream = environment_.jetstream;
  CO_TRY(const auto stream, co_await jetstream.stream_state("CHANGES"));
  ChangesCursor cursor{0, stream.created};
  if (request.cursor) {
    CO_TRY(cursor, ChangesCursor::parse(*request.cursor));
    if (cursor.stream != stream.created || cursor.sequence + 1 < stream.first_seq)
      co_return fail(errors::forgotten);
  }
  CO_CHECK(co_await check_table(request.table));
  nats::ConsumerConfig reading;
  reading.filter_subjects = subjects_of(request.table, caller.tenant);
  reading.ack_policy = "none";
  reading.mem_storage = true;
  reading.inactive_threshold = kKept;
  if (request.since) {
    reading.deliver_policy = "by_start_time";
    reading.opt_start_time = format_rfc3339(*request.since);
  } else {
    reading.deliver_policy = "by_start_sequence";
    reading.opt_start_seq = cursor.sequence + 1;
  }
  CO_TRY(const auto consumer, co_await jetstream.create_consumer("CHANGES", reading));
  cdc::ChangesReply reply;
  const auto waiting = consumer.num_pending;
  std::vector<nats::Delivered> page;
  if (waiting > 0 || wait_ms > 0) {
    const auto wanted = waiting > 0 ? std::min<std::uint64_t>(static_cast<std::uint64_t>(limit), waiting)
                                    : static_cast<std::uint64_t>(limit);
    auto fetched = co_await jetstream.fetch(
        "CHANGES", consumer.name, wanted, waiting > 0 ? kFetchTime : std::chrono::milliseconds(wait_ms),
        waiting > 0 ? nats::FetchUntil::full : nats::FetchUntil::available);
    if (fetched) page = *std::move(fetched);
  }
  co_await contain(jetstream.delete_consumer("CHANGES", consumer.name));
  std::size_t bytes = 0;
  for (const auto& one : page) {
    bytes += one.message.payload().size();
    if (!reply.changes.empty() && bytes > kMostBytes) break;
    CO_TRY(auto payload, json::parse(one.message.payload()));
    reply.changes.push_back(told(one.message.subject(), std::move(payload)));
    cursor.sequence = one.stream_sequence;
  }
  if (!page.empty()) reply.behind = page.back().pending + (page.size() - reply.changes.size());
  // What was looked at and is of no interest need not be looked at again.
  if (reply.changes.size() == waiting) cursor.sequence = std::max(cursor.sequence, stream.last_seq);
  reply.cursor = cursor.text();
  co_return reply;
}

}  // namespace intra365::services::events
