#include "services/audit/ingest.hpp"

#include <prometheus/counter.h>

#include <algorithm>

#include "postgres/errors.hpp"
#include "services/audit/model.hpp"

namespace intra365::services::audit {
namespace {

constexpr std::string_view kConsumer = "audit-to-postgres";
/// Two transactions at once: while one waits for the disk, the other fills.
constexpr int kLanes = 2;
constexpr std::size_t kMessagesPerFetch = 20;  ///< of at most 500 entries and 512 KiB each
constexpr auto kFetchWait = std::chrono::seconds(5);
constexpr auto kRetry = std::chrono::milliseconds(250);
constexpr auto kStoreTime = std::chrono::seconds(20);

/// A refusal that names no reason may be the database's (a right that is missing) or one message's: after so
/// many attempts each message is tried by itself, so that the others do not wait for it.
constexpr std::uint64_t kApartAfter = 10;

SteadyTime store_deadline() {
  return std::chrono::steady_clock::now() + kStoreTime;
}

Message::Unreadable unreadable_piece(const json::bj::value& piece, Error reason) {
  Message::Unreadable unreadable;
  unreadable.reason = std::move(reason);
  const auto* object = piece.if_object();
  const auto* tenant = object ? object->if_contains("tenant") : nullptr;
  const auto* entry = object ? object->if_contains("entry") : nullptr;
  if (tenant && tenant->is_string() && entry && is_token(std::string_view(tenant->as_string()))) {
    unreadable.tenant = TenantId::trusted(std::string(tenant->as_string()));
    unreadable.text = boost::json::serialize(*entry);
  } else {
    unreadable.text = boost::json::serialize(piece);
  }
  return unreadable;
}

}  // namespace

Message read_message(std::string_view payload) {
  Message message;
  auto value = json::parse(payload);
  if (value && !value->is_array()) value = fail(errors::malformed_json, "not an array of audit records");
  if (!value) {
    message.unreadable.push_back({std::nullopt, std::string(payload), value.error()});
    return message;
  }
  for (const auto& element : value->as_array()) {
    auto record = json::from_value<platform::AuditRecord>(element, json::Unknown::ignore);
    if (!record) {
      message.unreadable.push_back(unreadable_piece(element, std::move(record).error()));
      continue;
    }
    make_storable(record->entry);
    message.records.push_back(*std::move(record));
  }
  return message;
}

Ingest::Ingest(platform::Environment& environment, Store& store, SetAside& aside)
    : environment_(environment),
      store_(store),
      aside_(aside),
      entries_(environment.telemetry.metrics.counter("audit_entries_stored_total",
                                                     "Audit entries that reached PostgreSQL")),
      set_aside_(environment.telemetry.metrics.counter("audit_messages_set_aside_total",
                                                       "Messages of the audit stream that cannot be stored")),
      retries_(environment.telemetry.metrics.counter("audit_store_retries_total",
                                                     "Appends to the audit trail that had to be repeated")) {}

Task<> Ingest::start() {
  nats::ConsumerConfig consumer;
  consumer.durable_name = kConsumer;
  CO_CHECK(co_await environment_.jetstream.ensure_consumer(platform::audit_stream, consumer));
  for (int lane = 0; lane < kLanes; ++lane) CO_CHECK(environment_.tasks.spawn(run()));
  co_return Result<void>{};
}

Task<> Ingest::run() {
  const auto cancelled = co_await asio::this_coro::cancellation_state;
  while (cancelled.cancelled() == asio::cancellation_type::none) {
    auto fetched = co_await environment_.jetstream.fetch(platform::audit_stream, kConsumer, kMessagesPerFetch,
                                                         kFetchWait, nats::FetchUntil::available);
    if (!fetched) {
      co_await sleep_for(kRetry);
      continue;
    }
    CO_CHECK(co_await carry(*std::move(fetched)));
  }
  co_return Result<void>{};
}

Task<> Ingest::carry(std::vector<nats::Delivered> messages) {
  std::vector<platform::AuditRecord> records;
  bool readable = true;
  std::uint64_t attempts = 0;
  for (const auto& message : messages) {
    auto read = read_message(message.message.payload());
    readable = readable && read.unreadable.empty();
    std::ranges::move(read.records, std::back_inserter(records));
    attempts = std::max(attempts, message.delivered);
  }
  if (readable) {
    const auto stored = co_await store_.append(records, store_deadline());
    if (stored) {
      for (const auto& message : messages) environment_.jetstream.acknowledge(message);
      entries_.Increment(static_cast<double>(records.size()));
      co_return Result<void>{};
    }
    environment_.telemetry.log.write(platform::LogLevel::warning, "audit entries wait for the database",
                                     {{"code", stored.error().code}, {"detail", stored.error().detail}});
    const bool apart = is_unstorable(stored.error()) ||
                       (stored.error().is(postgres::errors::query_failed) && attempts >= kApartAfter);
    if (!apart) {
      retries_.Increment();
      for (const auto& message : messages)
        environment_.jetstream.negative_acknowledge(message, std::chrono::seconds(1));
      co_return Result<void>{};
    }
  }
  // One of them is the reason: each by itself, so that the others do not wait for it.
  for (const auto& message : messages) {
    if (co_await store_one(message)) {
      environment_.jetstream.acknowledge(message);
    } else {
      retries_.Increment();
      environment_.jetstream.negative_acknowledge(message, std::chrono::seconds(1));
    }
  }
  co_return Result<void>{};
}

Task<bool> Ingest::store_one(const nats::Delivered& message) {
  auto read = read_message(message.message.payload());
  CO_TRY(const bool stored, co_await store_apart(std::move(read.records)));
  if (!stored) co_return false;
  for (auto& piece : read.unreadable) {
    CO_TRY(const bool kept, co_await set_aside(std::move(piece)));
    if (!kept) co_return false;
  }
  co_return true;
}

/// By halves, so that one bad entry among many costs few transactions, and those beside it nothing.
Task<bool> Ingest::store_apart(std::vector<platform::AuditRecord> records) {
  std::vector<std::vector<platform::AuditRecord>> parts;
  parts.push_back(std::move(records));
  while (!parts.empty()) {
    auto part = std::move(parts.back());
    parts.pop_back();
    const auto stored = co_await store_.append(part, store_deadline());
    if (stored) {
      entries_.Increment(static_cast<double>(part.size()));
    } else if (!is_unstorable(stored.error())) {
      co_return false;
    } else if (part.size() > 1) {
      const auto middle = part.begin() + static_cast<std::ptrdiff_t>(part.size() / 2);
      parts.emplace_back(std::make_move_iterator(middle), std::make_move_iterator(part.end()));
      part.erase(middle, part.end());
      parts.push_back(std::move(part));
    } else {
      CO_TRY(const bool kept, co_await set_aside(std::move(part.front()), stored.error()));
      if (!kept) co_return false;
    }
  }
  co_return true;
}

Task<bool> Ingest::set_aside(platform::AuditRecord record, const Error& reason) {
  environment_.telemetry.log.write(platform::LogLevel::error, "an audit entry was set aside",
                                   {{"code", reason.code}, {"detail", reason.detail}});
  auto entry = json::encode(record.entry);
  const auto kept =
      co_await aside_.keep(record.tenant, record.entry.user_id, std::move(entry), reason, store_deadline());
  if (kept) set_aside_.Increment();
  co_return kept.has_value();
}

Task<bool> Ingest::set_aside(Message::Unreadable unreadable) {
  // Without the detail: it may quote what could not be read.
  environment_.telemetry.log.write(platform::LogLevel::error, "an unreadable audit entry was set aside",
                                   {{"code", unreadable.reason.code}});
  auto task = unreadable.tenant
                  ? aside_.keep(*unreadable.tenant, std::nullopt, std::move(unreadable.text),
                                unreadable.reason, store_deadline())
                  : aside_.keep_unreadable(std::move(unreadable.text), unreadable.reason, store_deadline());
  const auto kept = co_await std::move(task);
  if (kept) set_aside_.Increment();
  co_return kept.has_value();
}

}  // namespace intra365::services::audit
