#include "services/events/service.hpp"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>

#include "cdc/feed.hpp"
#include "contract/operations/cdc.hpp"
#include "contract/subjects.hpp"
#include "platform/changes.hpp"
#include "services/events/change_reader.hpp"
#include "services/events/events.hpp"
#include "services/events/slots.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> events();
}

namespace intra365::services::events {
namespace {

namespace wire = intra365::cdc;
using platform::Caller;

std::string_view name_of(cdc::FeedState state) {
  constexpr std::string_view names[] = {"connecting", "waiting", "streaming", "copying", "stopped"};
  return names[static_cast<int>(state)];
}

cdc::FeedOptions feed_options(const platform::Config& config) {
  cdc::FeedOptions options;
  options.replication.dsn = config.postgres.replication_dsn;
  options.replication.slot = platform::changes_slot;
  options.replication.publication = platform::changes_publication;
  options.batches.on_message = to_event;
  options.more_subjects = {subjects::in_any_account("intra365.events.>"),
                           subjects::in_any_account("intra365.user.>")};
  options.max_age = std::chrono::hours(24 * 30);
  return options;
}

/// Owned by one shard; not thread-safe.
class Events final : public platform::Service {
 public:
  explicit Events(platform::Environment& environment)
      : environment_(environment),
        slots_(environment),
        reader_(environment),
        alarm_(environment.telemetry.metrics.gauge(
            "cdc_alarm", "1 while something keeps the change stream from going on; cdc.status says what")),
        gaps_(environment.telemetry.metrics.counter(
            "cdc_gaps_total", "Times that changes were lost to the stream and tables were read anew")),
        set_aside_(environment.telemetry.metrics.gauge(
            "cdc_set_aside", "Changes that were larger than a message, since this process started")),
        left_out_(environment.telemetry.metrics.gauge(
            "cdc_left_out", "Changes larger than what may be set aside, since this process started")),
        malformed_(environment.telemetry.metrics.gauge(
            "cdc_malformed", "Events that were none and were set aside, since this process started")),
        feed_(environment.jetstream, feed_options(environment.config),
              [this](std::string_view event, std::string_view detail) { tell(event, detail); }) {}

  std::vector<platform::BoundOperation> operations() override {
    return {platform::bind(wire::status, *this, &Events::status),
            platform::bind(wire::changes, reader_, &ChangeReader::read)};
  }

  Task<> start() override {
    if (environment_.config.postgres.replication_dsn.empty())
      co_return fail(platform::errors::bad_config, "postgres.replicationDsn: needed by the role events");
    CO_CHECK(environment_.tasks.spawn(slots_.watch()));
    co_return environment_.tasks.spawn(feed_.run());
  }

 private:
  Task<wire::StatusReply> status(const Caller& caller, const Empty&) {
    const auto counted = feed_.statistics();
    wire::StatusReply reply;
    reply.state = name_of(feed_.state());
    reply.confirmed_lsn = counted.confirmed.text();
    reply.server_lsn = counted.server_end.text();
    reply.lag_bytes = static_cast<std::int64_t>(counted.server_end.value) -
                      static_cast<std::int64_t>(std::min(counted.confirmed, counted.server_end).value);
    reply.changes = static_cast<std::int64_t>(counted.changes);
    reply.batches = static_cast<std::int64_t>(counted.batches);
    reply.transactions = static_cast<std::int64_t>(counted.transactions);
    reply.restarts = static_cast<std::int64_t>(counted.restarts);
    if (!counted.alarm.empty()) reply.alarm = counted.alarm;
    reply.gaps = static_cast<std::int64_t>(counted.gaps);
    reply.snapshots = static_cast<std::int64_t>(counted.snapshots);
    reply.set_aside = static_cast<std::int64_t>(counted.odd.set_aside);
    reply.left_out = static_cast<std::int64_t>(counted.odd.left_out);
    reply.malformed = static_cast<std::int64_t>(counted.odd.malformed);
    reply.schema_changes = static_cast<std::int64_t>(counted.odd.schema_changes);
    // Without the database there is nothing to tell of them; the rest is known without it.
    if (auto slots = co_await slots_.look(caller.deadline)) reply.slots = *std::move(slots);
    co_return reply;
  }

  void tell(std::string_view event, std::string_view detail) {
    // A stream that does not tell everything, or stands still, is for somebody to look at.
    const bool alarming = event == "gap" || event == "failed" || event == "publication" ||
                          event == "left_out" || event == "malformed";
    const bool delayed = event == "waiting" || event == "snapshot_delayed";
    const auto level = alarming  ? platform::LogLevel::error
                       : delayed ? platform::LogLevel::warning
                                 : platform::LogLevel::info;
    if (event == "gap") gaps_.Increment();
    const auto counted = feed_.statistics();
    alarm_.Set(counted.alarm.empty() ? 0 : 1);
    set_aside_.Set(static_cast<double>(counted.odd.set_aside));
    left_out_.Set(static_cast<double>(counted.odd.left_out));
    malformed_.Set(static_cast<double>(counted.odd.malformed));
    environment_.telemetry.log.write(level, "change data capture", {{"event", event}, {"detail", detail}});
  }

  platform::Environment& environment_;
  Slots slots_;
  ChangeReader reader_;
  prometheus::Gauge& alarm_;
  prometheus::Counter& gaps_;
  prometheus::Gauge& set_aside_;
  prometheus::Gauge& left_out_;
  prometheus::Gauge& malformed_;
  cdc::Feed feed_;
};

}  // namespace

platform::ServiceModule module() {
  return {
      .name = "events",
      .description = "Events: what happened in the database, told once and in order",
      .migrations = migrations::events(),
      .make = [](platform::Environment& environment) { return std::make_unique<Events>(environment); },
  };
}

}  // namespace intra365::services::events
