#include "backup/restore.hpp"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <set>

#include "backup/cluster_files.hpp"
#include "backup/platform_files.hpp"
#include "backup/wal_archive.hpp"
#include "embedded/data_directory.hpp"
#include "embedded/file.hpp"
#include "embedded/ports.hpp"
#include "embedded/postgres_cluster.hpp"
#include "postgres/pool.hpp"

namespace intra365::backup {
namespace {

using embedded::PostgresCluster;
using postgres::Lsn;

constexpr auto kReplayTime = std::chrono::hours(12);
constexpr auto kQueryTime = std::chrono::minutes(10);
constexpr auto kStopTime = std::chrono::minutes(1);
/// The log's folder beside the cluster, as the server sees it from its own.
constexpr const char* kLogFolder = "log.restored";
constexpr std::string_view kTooShort = "recovery ended before configured recovery target was reached";

SteadyTime in(std::chrono::steady_clock::duration duration) {
  return std::chrono::steady_clock::now() + duration;
}

/// What is to be restored: the base backup, and how far the log behind it goes.
struct Plan {
  Base base;
  Coverage coverage;
};

Result<Plan> make_plan(const Repository& repository, std::optional<Timestamp> at) {
  TRY(const auto bases, repository.bases());
  Plan plan;
  for (const auto& base : bases) {
    if (at && base.ended > *at) break;
    TRY(const auto coverage, repository.covered(base));
    if (coverage) plan = {base, *coverage};
  }
  if (plan.base.name.empty()) {
    if (bases.empty()) return fail(errors::not_found);
    return fail(errors::not_found, "The oldest backup reaches back to " +
                                       format_rfc3339(bases.front().ended) + ", not further.");
  }
  if (at && *at > plan.coverage.until)
    return fail(errors::not_covered, "The backups reach to " + format_rfc3339(plan.coverage.until) +
                                         ", not to " + format_rfc3339(*at) + ".");
  return plan;
}

class Restorer {
 public:
  Restorer(asio::any_io_executor executor, RestoreOptions options, PostgresCluster::Lasting lasting)
      : executor_(std::move(executor)),
        options_(std::move(options)),
        lasting_(lasting),
        paths_(options_.data_dir) {}

  Task<RestoreReport> run() {
    CO_TRY(const auto repository, Repository::open(options_.from, options_.key_file));
    CO_TRY(const auto plan, make_plan(repository, options_.at));
    CO_CHECK(take_target());
    const auto report = co_await contain(fill(repository, plan));
    if (!report) clean();
    co_return report;
  }

  /// Removes what this run has put into the data directory: nothing where it did not get as far as to own it.
  void clean() {
    if (!taken_) return;
    cluster_.reset();
    std::error_code error;
    // Where root's cluster had to go elsewhere, a link leads to it.
    const auto elsewhere = fs::read_symlink(paths_.postgres(), error);
    if (!error && !elsewhere.empty()) fs::remove_all(elsewhere, error);
    std::vector<fs::path> made;
    for (const auto& entry : fs::directory_iterator(paths_.data, error)) {
      if (!found_.contains(entry.path().filename())) made.push_back(entry.path());
    }
    for (const auto& path : made) fs::remove_all(path, error);
    directory_.reset();
    if (made_directory_) fs::remove(paths_.data, error);
  }

 private:
  /// Opens the data directory, which is new or as good as empty: everything else in it comes from here.
  Result<void> take_target() {
    std::error_code error;
    made_directory_ = !fs::exists(paths_.data, error);
    for (fs::directory_iterator entry(paths_.data, error), end; !error && entry != end;
         entry.increment(error))
      found_.insert(entry->path().filename());
    // Files of others are what `open` looks for.
    if (found_.contains(paths_.version().filename()) || holds_platform()) return in_use();
    TRY(auto opened, embedded::DataDirectory::open(paths_.data));
    directory_.emplace(std::move(opened));
    paths_ = directory_->paths();
    if (holds_platform()) return in_use();  // somebody was quicker, and has gone again
    taken_ = true;
    return {};
  }

  bool holds_platform() const {
    std::error_code error;
    return fs::exists(paths_.keys(), error) || fs::is_symlink(paths_.postgres(), error) ||
           fs::exists(paths_.postgres(), error);
  }

  Failure in_use() const {
    return fail(errors::target_in_use, paths_.data.string() + " holds a platform already.");
  }

  Task<RestoreReport> fill(const Repository& repository, const Plan& plan) {
    CO_CHECK(put_back(repository, plan));
    CO_CHECK(co_await cluster_->initialise(in(kQueryTime)));  // of a PostgreSQL that this one can read
    CO_TRY(const auto port, embedded::free_port("127.0.0.1"));
    CO_CHECK(cluster_->configure(port));
    CO_TRY(auto report, co_await replay());
    report.base = plan.base;
    std::error_code error;
    fs::remove_all(cluster_->data().parent_path() / kLogFolder, error);
    if (lasting_ == PostgresCluster::Lasting::yes) CO_CHECK(embedded::sync_file_system(cluster_->data()));
    cluster_.reset();
    directory_.reset();
    co_return report;
  }

  /// Everything that lies in files: keys, cluster, log.
  Result<void> put_back(const Repository& repository, const Plan& plan) {
    const auto platform = repository.base_folder(plan.base.name) / "platform";
    TRY(auto files, SealedReader::open(repository.envelope(), repository.context(platform), platform));
    CHECK(restore_platform_files(files, paths_.data));
    TRY(const auto keys, embedded::load_or_make_keys(paths_));
    TRY(auto runtime, embedded::locate());
    cluster_.emplace(paths_, std::move(runtime), keys);
    CHECK(cluster_->prepare());

    const auto parent = cluster_->data().parent_path();
    const auto aside = parent / "data.new", log = parent / kLogFolder;
    CHECK(embedded::make_directory(aside));
    CHECK(embedded::make_directory(log));
    CHECK(extract_cluster(repository, plan.base, aside));
    options_.tell(fmt::format("{} MB of the backup {} are back, every file as its checksum says",
                              plan.base.bytes >> 20, plan.base.name));
    TRY(const auto start, Lsn::parse(plan.base.start));
    TRY(const auto consistent, Lsn::parse(plan.base.end));
    TRY(const auto covered, Lsn::parse(plan.coverage.end));
    TRY(const auto end, extract_wal(repository, plan.base, std::max(consistent, covered), log));
    CHECK(put_histories(repository, plan.base.timeline, log));
    CHECK(embedded::write_file(aside / "recovery.signal", ""));
    options_.tell("replaying the log from " + start.text() + " to " + end.text());
    CHECK(cluster_->give_tree(aside));
    CHECK(cluster_->give_tree(log));
    return embedded::rename_durably(aside, cluster_->data());
  }

  /// So that the restored database takes a timeline of its own, not one that a restore before it has taken.
  static Result<void> put_histories(const Repository& repository, std::int64_t timeline,
                                    const fs::path& log) {
    for (const auto other : repository.histories()) {
      if (other <= timeline) continue;
      const auto file = repository.history_file(other);
      TRY(const auto content, read_sealed(repository.envelope(), repository.context(file), file));
      CHECK(embedded::write_file(log / file.filename(), content));
    }
    return {};
  }

  std::vector<std::string> settings(bool to_target) const {
    std::vector<std::string> list{fmt::format(R"(restore_command=cp "../{}/%f" "%p")", kLogFolder),
                                  "recovery_target_timeline=current", "hot_standby=off",
                                  "recovery_init_sync_method=syncfs"};
    if (lasting_ == PostgresCluster::Lasting::no) list.push_back("fsync=off");
    if (to_target) {
      auto time = format_rfc3339(*options_.at);
      time.replace(time.size() - 1, 1, "+00");  // in a setting the server takes no letter for the zone
      list.push_back("recovery_target_time=" + time);
      list.push_back("recovery_target_action=promote");
    }
    return list;
  }

  Task<RestoreReport> replay() {
    bool to_target = options_.at.has_value();
    for (;;) {
      auto spec = cluster_->process(settings(to_target));
      const embedded::LastWords words(spec);
      CO_TRY(auto server, embedded::ChildProcess::spawn(executor_, spec));
      using namespace asio::experimental::awaitable_operators;
      const auto first = co_await (contain(cluster_->ready(in(kReplayTime))) || contain(server.wait()));
      if (first.index() == 0) {
        CO_CHECK(std::get<0>(first));
        CO_TRY(auto report, co_await read_back());
        server.signal(SIGINT);
        CO_TRY(const auto ended, co_await server.wait_until(in(kStopTime)));
        if (!ended.success())
          co_return fail(errors::restore_failed, "PostgreSQL did not stop in order: " + ended.text());
        co_return report;
      }
      // Nothing was committed between the time that was asked for and the end of the log, which is known
      // to reach beyond it: then the end of the log is that time.
      if (!to_target || words.text().find(kTooShort) == std::string::npos)
        co_return fail(errors::restore_failed, "PostgreSQL ended while it replayed the log: " + words.text());
      to_target = false;
    }
  }

  Task<RestoreReport> read_back() const {
    postgres::PoolOptions pool_options;
    pool_options.dsn = cluster_->admin_dsn();
    pool_options.max_connections = 1;
    postgres::Pool pool(executor_, std::move(pool_options));
    auto report = co_await contain(count(pool));
    pool.close();
    co_return report;
  }

  static Task<RestoreReport> count(postgres::Pool& pool) {
    constexpr postgres::Query kLast{
        "restore_last", "select (extract(epoch from pg_last_xact_replay_timestamp()) * 1000000)::bigint"};
    constexpr postgres::Query kTables{
        "restore_tables",
        "select format('%I.%I', nspname, relname) from pg_class c join pg_namespace n "
        "on n.oid = relnamespace where nspname = 'intra365' and relkind = 'r'"};
    RestoreReport report;
    postgres::Scope none;
    CO_TRY(const auto last, co_await pool.query(none, kLast, {}, in(kQueryTime)));
    if (const auto text = last.value(0, 0))
      report.last_commit = Timestamp(std::chrono::microseconds(std::stoll(std::string(*text))));
    CO_TRY(const auto tables, co_await pool.query(none, kTables, {}, in(kQueryTime)));
    for (std::size_t row = 0; row < tables.size(); ++row) {
      const auto sql = "select count(*) from " + std::string(tables.value(row, 0).value_or(""));
      const postgres::Query query{"restore_count", sql};
      CO_TRY(const auto counted, co_await pool.query(none, query, {}, in(kQueryTime)));
      report.rows += std::stoll(std::string(counted.value(0, 0).value_or("0")));
      ++report.tables;
    }
    co_return report;
  }

  asio::any_io_executor executor_;
  RestoreOptions options_;
  PostgresCluster::Lasting lasting_;
  embedded::Paths paths_;
  std::set<fs::path> found_;  ///< names that were there before
  bool made_directory_ = false, taken_ = false;
  std::optional<embedded::DataDirectory> directory_;
  std::optional<PostgresCluster> cluster_;
};

}  // namespace

Task<RestoreReport> restore(asio::any_io_executor executor, RestoreOptions options) {
  Restorer restorer(std::move(executor), std::move(options), PostgresCluster::Lasting::yes);
  co_return co_await restorer.run();
}

Task<RestoreReport> check_restore(asio::any_io_executor executor, RestoreOptions options) {
  auto pattern = (fs::temp_directory_path() / "intra365-check-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) co_return fail(embedded::file_error(errno, pattern));
  options.data_dir = fs::path(pattern) / "data";
  Restorer restorer(std::move(executor), std::move(options), PostgresCluster::Lasting::no);
  auto report = co_await restorer.run();
  restorer.clean();
  std::error_code error;
  fs::remove_all(pattern, error);
  co_return report;
}

}  // namespace intra365::backup
