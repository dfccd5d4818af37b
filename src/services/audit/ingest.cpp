#include "services/audit/ingest.hpp"

#include <prometheus/counter.h>

namespace intra365::services::audit {
namespace {

constexpr std::string_view kConsumer = "audit-to-postgres";
/// Two transactions at once: while one waits for the disk, the other fills.
constexpr int kLanes = 2;
constexpr std::size_t kMessagesPerFetch = 20;  ///< of at most 500 entries and 512 KiB each
constexpr auto kFetchWait = std::chrono::seconds(5);
constexpr auto kRetry = std::chrono::milliseconds(250);
constexpr auto kStoreTime = std::chrono::seconds(20);

/// A refusal that names no reason may be the database's (a right that is missing) or the message's: after so
/// many attempts it is the message's.
constexpr std::uint64_t kMaxAttempts = 100;

/// Will the same message fail again, whatever the state of the servers?
bool is_hopeless(const Error& error, std::uint64_t attempts) {
  return error.kind == ErrorKind::invalid ||
         (error.is(postgres::errors::query_failed) && attempts >= kMaxAttempts);
}

}  // namespace

Result<void> read_message(std::string_view payload, std::vector<platform::AuditRecord>& into) {
  TRY(const auto value, json::parse(payload));
  if (!value.is_array()) return fail(errors::malformed_json, "not an array of audit records");
  for (const auto& element : value.as_array()) {
    TRY(auto record, json::from_value<platform::AuditRecord>(element, json::Unknown::ignore));
    into.push_back(std::move(record));
  }
  return {};
}

Ingest::Ingest(platform::Environment& environment, Store& store)
    : environment_(environment),
      store_(store),
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
    readable = readable && read_message(message.message.payload(), records).has_value();
    attempts = std::max(attempts, message.delivered);
  }
  if (readable) {
    const auto stored = co_await store_.append(records, std::chrono::steady_clock::now() + kStoreTime);
    if (stored) {
      for (const auto& message : messages) environment_.jetstream.acknowledge(message);
      entries_.Increment(static_cast<double>(records.size()));
      co_return Result<void>{};
    }
    environment_.telemetry.log.write(platform::LogLevel::warning, "audit entries wait for the database",
                                     {{"code", stored.error().code}, {"detail", stored.error().detail}});
    if (!is_hopeless(stored.error(), attempts)) {
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
      environment_.jetstream.negative_acknowledge(message, std::chrono::seconds(1));
    }
  }
  co_return Result<void>{};
}

Task<bool> Ingest::store_one(const nats::Delivered& message) {
  std::vector<platform::AuditRecord> records;
  auto stored = read_message(message.message.payload(), records);
  if (stored) stored = co_await store_.append(records, std::chrono::steady_clock::now() + kStoreTime);
  if (stored) {
    entries_.Increment(static_cast<double>(records.size()));
    co_return true;
  }
  if (!is_hopeless(stored.error(), message.delivered)) co_return false;
  environment_.telemetry.log.write(platform::LogLevel::error, "an audit message was set aside",
                                   {{"code", stored.error().code}, {"detail", stored.error().detail}});
  const auto kept = co_await store_.set_aside(std::string(message.message.payload()),
                                              stored.error().code + ": " + stored.error().detail,
                                              std::chrono::steady_clock::now() + kStoreTime);
  if (kept) set_aside_.Increment();
  co_return kept.has_value();
}

}  // namespace intra365::services::audit
