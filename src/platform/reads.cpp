#include "platform/reads.hpp"

namespace intra365::platform {
namespace {

/// Inside the platform's own account, where only services are.
constexpr std::string_view kNotices = "intra365.platform.changed";
/// No read is content with an older answer, so older changes need not be remembered.
constexpr auto kOldest = std::chrono::seconds(10);
constexpr std::size_t kMaxRemembered = 100'000;

std::string name_of(const Caller& caller) {
  return caller.tenant.str() + " " + caller.subject();
}

postgres::ReadPoolOptions options_of(const Config& config) {
  postgres::ReadPoolOptions options;
  for (const auto& dsn : config.postgres.replica_dsns) {
    auto& replica = options.standbys.emplace_back();
    replica.dsn = dsn;
    replica.max_connections = config.postgres.max_connections;
    replica.prepare = config.postgres.prepare;
    replica.connect_timeout = std::chrono::milliseconds(1000);
  }
  return options;
}

prometheus::Counter& counter(Telemetry telemetry, std::string by) {
  return telemetry.metrics.counter("postgres_replica_reads_total",
                                   "Reads that a replica may answer, by who did; behind: a replica was asked "
                                   "first and lacked something.",
                                   {{"by", std::move(by)}});
}

}  // namespace

Reads::Reads(asio::any_io_executor executor, const Config& config, postgres::Pool& primary,
             nats::Connection& nats, Telemetry telemetry)
    : used_(!config.postgres.replica_dsns.empty()),
      nats_(nats),
      pool_(executor, primary, options_of(config)),
      by_replica_(counter(telemetry, "replica")),
      by_primary_(counter(telemetry, "primary")),
      behind_(counter(telemetry, "behind")) {}

Result<void> Reads::start(TaskGroup& tasks) {
  if (!used_) return {};
  missed();
  TRY(notices_, nats_.subscribe(kNotices, [this](const nats::MessageView& notice) {
    note(std::string(notice.payload));
  }));
  return tasks.spawn(pool_.watch());
}

void Reads::missed() {
  all_changed_at_ = std::chrono::steady_clock::now();
}

void Reads::note(std::string who) {
  const auto now = std::chrono::steady_clock::now();
  if (changes_.size() >= kMaxRemembered)
    std::erase_if(changes_, [&](const auto& one) { return one.second < now - kOldest; });
  if (changes_.size() >= kMaxRemembered) {
    changes_.clear();
    missed();
  }
  changes_.insert_or_assign(std::move(who), now);
}

void Reads::tell_change(const Caller& caller) {
  // Told even where no replica is configured: other processes may have some. It costs nothing unheard.
  auto who = name_of(caller);
  static_cast<void>(nats_.publish(kNotices, who));
  if (used_) note(std::move(who));
}

std::optional<SteadyTime> Reads::changed_at(const Caller& caller) const {
  if (!used_) return std::nullopt;
  auto latest = all_changed_at_;
  if (const auto found = changes_.find(name_of(caller)); found != changes_.end())
    latest = std::max(latest, found->second);
  if (latest < std::chrono::steady_clock::now() - kOldest) return std::nullopt;
  return latest;
}

Task<postgres::Rows> Reads::query(postgres::Scope scope, const Read& read, postgres::Parameters parameters,
                                  std::optional<SteadyTime> changed_at, SteadyTime deadline) {
  postgres::Freshness freshness(read.at_most);
  if (changed_at) {
    const auto ago =
        std::chrono::floor<std::chrono::milliseconds>(std::chrono::steady_clock::now() - *changed_at);
    freshness.at_most = std::min(freshness.at_most, ago);
  }
  auto rows = co_await pool_.query(std::move(scope), read.query, std::move(parameters), freshness, deadline);
  const auto& now = pool_.counts();
  by_replica_.Increment(static_cast<double>(now.standby - counted_.standby));
  by_primary_.Increment(static_cast<double>(now.primary - counted_.primary));
  behind_.Increment(static_cast<double>(now.behind - counted_.behind));
  counted_ = now;
  co_return rows;
}

}  // namespace intra365::platform
