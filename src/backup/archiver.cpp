#include "backup/archiver.hpp"

#include <fmt/format.h>

#include <charconv>

#include "backup/platform_files.hpp"
#include "backup/reach.hpp"
#include "backup/wal_archive.hpp"
#include "embedded/file.hpp"
#include "postgres/physical.hpp"

namespace intra365::backup {
namespace {

using postgres::Lsn;
using postgres::PhysicalLog;

constexpr const char* kSlot = "intra365_backup";
constexpr auto kConnectTime = std::chrono::seconds(10);
constexpr auto kLook = std::chrono::milliseconds(200);  ///< how soon a stop is seen
constexpr auto kRetry = std::chrono::seconds(1);
constexpr auto kCoverageEvery = std::chrono::milliseconds(500);
constexpr auto kUpkeepEvery = std::chrono::seconds(1);
constexpr auto kProveAgain = std::chrono::hours(1);  ///< after a restore that failed
constexpr std::size_t kFrame = 256u << 10;

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

/// "16MB" and "1GB", as the server prints the size of a segment.
Result<std::int64_t> segment_bytes(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const int shift = unit == "MB" ? 20 : unit == "GB" ? 30 : 0;
  if (error != std::errc{} || shift == 0 || number < 1 || number > 1024)
    return fail(postgres::errors::bad_replication, "wal_segment_size is '" + text + "'");
  return number << shift;
}

/// `20261123T101500Z`: sorts by time, and is a name on every file system.
std::string folder_name(Timestamp time) {
  auto text = format_rfc3339(std::chrono::floor<std::chrono::seconds>(time));
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

/// Writes what the server sends into sealed files.
class BaseWriter final : public postgres::BaseBackupSink {
 public:
  BaseWriter(const Repository& repository, std::string name)
      : repository_(repository), name_(std::move(name)), folder_(repository.base_folder(name_ + ".part")) {}

  Result<void> begin_archive(std::string_view, std::string_view tablespace) override {
    if (!tablespace.empty() || file_)
      return fail(errors::unsupported, "The database has tablespaces of its own.");
    return start("base");
  }
  Result<void> begin_manifest() override {
    CHECK(finish());
    return start("files");
  }
  Result<void> data(std::string_view bytes) override {
    if (!file_) return fail(postgres::errors::bad_replication, "base backup: data of nothing");
    if (!in_manifest_) bytes_ += static_cast<std::int64_t>(bytes.size());
    waiting_ += bytes;
    if (waiting_.size() < kFrame) return {};
    return file_->append(std::exchange(waiting_, {}));
  }
  Result<void> start(const std::string& file) {
    in_manifest_ = file == "files";
    // Bound to the name that it will have.
    const auto context = repository_.context(repository_.base_folder(name_) / file);
    TRY(auto writer, SealedWriter::create(repository_.envelope(), context, folder_ / file));
    file_.emplace(std::move(writer));
    return {};
  }
  Result<void> finish() {
    if (!file_) return fail(postgres::errors::bad_replication, "base backup: nothing came");
    CHECK(file_->append(std::exchange(waiting_, {})));
    CHECK(file_->finish());
    file_.reset();
    return {};
  }

  SealedWriter& file() { return *file_; }
  const fs::path& folder() const { return folder_; }
  std::int64_t bytes() const { return bytes_; }

 private:
  const Repository& repository_;
  std::string name_;
  fs::path folder_;
  std::optional<SealedWriter> file_;
  std::string waiting_;
  std::int64_t bytes_ = 0;
  bool in_manifest_ = false;
};

class Archiver {
 public:
  Archiver(asio::any_io_executor executor, ArchiverOptions options)
      : executor_(std::move(executor)), options_(std::move(options)) {}

  Task<ArchiverReport> run() {
    for (;;) {
      const auto done = co_await contain(attempt());
      if (!done && co_await begin_anew(done.error())) continue;
      if (done && (!options_.follow || options_.stopping())) co_return ended();
      if (!done && !can_wait(done.error())) co_return fail(done.error());
      if (!done) options_.tell(done.error().code + ": " + done.error().detail + " Trying again.");
      if (options_.stopping()) co_return ended();
      log_.reset();
      co_await sleep_for(kRetry);
    }
  }

 private:
  /// Who stops a following run learns of a backup that cannot be restored.
  Result<ArchiverReport> ended() const {
    if (unproven_) return fail(*unproven_);
    return report_;
  }

  /// A following run waits for a database that is away; everything else is for somebody to look at.
  bool can_wait(const Error& error) const {
    return options_.follow && repository_ &&
           (error.kind == ErrorKind::unavailable || error.is(postgres::errors::slot_busy));
  }

  /// A server that gave up its log, because nobody had taken it for too long, leaves a gap that only a new
  /// base backup closes. Once a run, or it is not that.
  asio::awaitable<bool> begin_anew(const Error& error) {
    const bool gap = error.is(postgres::errors::log_removed) || error.is(postgres::errors::slot_missing);
    if (!gap || began_anew_ || !repository_) co_return false;
    began_anew_ = true;
    options_.full = true;
    options_.tell("the server no longer has the log since the last backup: a new base backup is needed");
    log_.reset();
    auto connection = connection_options();
    if (!connection) co_return false;
    auto log =
        co_await contain(PhysicalLog::connect(executor_, *std::move(connection), now() + kConnectTime));
    if (!log) co_return false;
    static_cast<void>(co_await contain((*log)->drop_slot()));  // it may be gone already
    co_return true;
  }

  Task<> attempt() {
    CO_TRY(log_, co_await connect());
    CO_TRY(const auto identity, co_await log_->identify());
    CO_CHECK(co_await open_repository(identity));
    timeline_ = static_cast<std::int64_t>(identity.timeline);
    CO_TRY(const bool new_slot, co_await log_->create_slot());
    CO_CHECK(co_await save_history());
    CO_TRY(auto from, continues_at(new_slot));
    auto goal = identity.end;
    // A log that goes on is followed at once; the next base backup is made beside it.
    if (!from || (!options_.follow && base_is_due())) {
      CO_CHECK(co_await make_base(*log_, from.has_value()));
      CO_TRY(goal, Lsn::parse(newest_->end));
      if (!from) {
        CO_TRY(from, Lsn::parse(newest_->start));
      }
    }
    if (options_.follow) co_return co_await follow(*from);
    CO_CHECK(co_await copy_log(*from, goal));
    co_return co_await settle();
  }

  Task<std::unique_ptr<PhysicalLog>> connect() const {
    CO_TRY(auto connection, connection_options());
    co_return co_await PhysicalLog::connect(executor_, std::move(connection), now() + kConnectTime);
  }

  Task<> open_repository(postgres::SystemIdentity identity) {
    if (repository_) {
      if (identity.system_id != repository_->description().system_id) co_return fail(errors::other_database);
      co_return Result<void>{};
    }
    CO_TRY(const auto setting, co_await log_->setting("wal_segment_size"));
    CO_TRY(const auto segment, segment_bytes(setting));
    CO_TRY(auto opened,
           Repository::open_to_write(options_.to, options_.key_file, identity.system_id, segment));
    repository_.emplace(std::move(opened));
    report_.made_key = repository_->made_key();
    if (report_.made_key)
      options_.tell("the key " + options_.key_file.string() +
                    " was made: keep a copy away from this machine, nothing can be restored without it");
    co_return Result<void>{};
  }

  Result<postgres::PhysicalOptions> connection_options() const {
    postgres::PhysicalOptions connection;
    TRY(connection.dsn, options_.dsn());
    connection.slot = kSlot;
    return connection;
  }

  /// Where the log that is here ends, when the server still has what comes behind.
  Result<std::optional<Lsn>> continues_at(bool new_slot) {
    TRY(const auto bases, repository_->bases());
    newest_ = bases.empty() ? std::nullopt : std::optional(bases.back());
    settled_ = false;
    consistent_ = covered_ = Lsn{};
    reach_ = Reach{};
    if (new_slot || !newest_ || newest_->timeline != timeline_) return std::nullopt;
    log_name_ = newest_->log;
    TRY(const auto coverage, repository_->coverage(log_name_));
    if (!coverage) return std::nullopt;
    report_.coverage = *coverage;
    TRY(covered_, Lsn::parse(coverage->end));
    return covered_;
  }

  bool base_is_due() const {
    return options_.full || !newest_ || system_clock().now() - newest_->ended > options_.full_after;
  }

  /// A restored database has a timeline of its own; how it came to be tells later restores that its number
  /// is taken.
  Task<> save_history() {
    const auto file = repository_->history_file(timeline_);
    std::error_code error;
    if (timeline_ == 1 || fs::exists(file, error)) co_return Result<void>{};
    CO_TRY(const auto content, co_await log_->history(static_cast<std::uint64_t>(timeline_)));
    co_return write_sealed(repository_->envelope(), repository_->context(file), file, content);
  }

  /// `continues`: the log that is here goes on behind it; else a new run of the log begins with it.
  Task<> make_base(PhysicalLog& server, bool continues) {
    options_.tell("making a base backup");
    repository_->remove_parts();
    Base base;
    CO_TRY(base.begun, co_await server.clock());
    base.name = folder_name(base.begun);
    base.version = options_.version;
    if (!continues) {
      log_name_ = base.name;
      report_.coverage = {};
    }
    base.log = log_name_;
    BaseWriter writer(*repository_, base.name);
    CO_CHECK(embedded::make_directory(writer.folder()));
    CO_TRY(const auto made, co_await server.base_backup(writer, "intra365 " + base.name));
    CO_CHECK(writer.finish());
    CO_TRY(base.ended, co_await server.clock());
    base.start = made.start.text();
    base.end = made.end.text();
    base.timeline = static_cast<std::int64_t>(made.timeline);
    base.bytes = writer.bytes();
    if (!options_.data_dir.empty()) {
      CO_CHECK(writer.start("platform"));
      CO_TRY(const auto files, save_platform_files(options_.data_dir, writer.file()));
      CO_CHECK(writer.finish());
      base.platform = files > 0;
    }
    CO_CHECK(repository_->write_base(writer.folder(), base));
    CO_CHECK(embedded::rename_durably(writer.folder(), repository_->base_folder(base.name)));
    began_anew_ = false;
    options_.full = false;
    settled_ = false;
    if (!continues) consistent_ = made.end;
    report_.base = newest_ = base;
    options_.tell(fmt::format("base backup {} made: {} MB", base.name, base.bytes >> 20));
    co_return Result<void>{};
  }

  /// The log, and beside it everything else that is to be done.
  Task<> follow(Lsn from) {
    using namespace asio::experimental::awaitable_operators;
    const auto first = co_await (contain(copy_log(from, Lsn{})) || contain(keep_up()));
    co_return first.index() == 0 ? std::get<0>(first) : std::get<1>(first);
  }

  /// Base backups as they become due, proven, and the old ones retired. None is made before the one before it
  /// was looked at: else none ever would be where making one takes longer than they may be apart.
  Task<> keep_up() {
    SteadyTime settle_due{};
    for (;;) {
      const bool was_looked_at = settled_ || settle_due != SteadyTime{};
      if (base_is_due() && was_looked_at) {
        // On a connection of its own: the log goes on meanwhile.
        CO_TRY(const auto server, co_await connect());
        CO_CHECK(co_await make_base(*server, true));
        settle_due = SteadyTime{};
      }
      CO_TRY(const auto consistent, Lsn::parse(newest_->end));
      if (!settled_ && covered_ >= consistent && now() >= settle_due) {
        const auto done = co_await settle();
        unproven_ = done ? std::nullopt : std::optional(done.error());
        if (!done) {
          options_.tell("THE BACKUP " + newest_->name + " COULD NOT BE RESTORED, older ones are kept: " +
                        done.error().code + ": " + done.error().detail);
          settle_due = now() + kProveAgain;
        }
      }
      co_await sleep_for(kUpkeepEvery);
    }
  }

  /// Proves the newest base backup where that was not done yet, then retires what is older than may stay.
  Task<> settle() {
    if (options_.prove && !repository_->is_proven(*newest_)) {
      CO_CHECK(co_await options_.prove());
      CO_CHECK(repository_->mark_proven(*newest_));
    }
    if (options_.keep > 0) CO_CHECK(repository_->retire(options_.keep));
    settled_ = true;
    co_return Result<void>{};
  }

  /// Writes the log from `from` until everything up to `goal` is here, or for ever.
  Task<> copy_log(Lsn from, Lsn goal) {
    CO_TRY(auto archive, WalArchive::open(*repository_, log_name_, timeline_, from));
    CO_CHECK(co_await log_->start(archive.position(), static_cast<std::uint64_t>(timeline_)));
    if (options_.follow) options_.tell("following the log from " + archive.position().text());
    SteadyTime coverage_due{};
    for (;;) {
      CO_TRY(const auto taken, take(archive));
      if (taken > 0) CO_CHECK(archive.sync());
      report_.log_bytes += taken;
      reach_.heard(log_->server_end(), log_->server_time());
      const auto until = reach_.until(archive.position());
      const bool stopping = options_.stopping();
      const bool reached = !options_.follow && until && archive.position() >= goal;
      if (archive.position() >= consistent_ && (stopping || reached || now() >= coverage_due)) {
        CO_CHECK(cover(archive.position(), until));
        coverage_due = now() + kCoverageEvery;
      }
      // The next run goes on where this one is known to have come: the server keeps what is behind that.
      log_->confirm(covered_);
      if (stopping || reached) co_return Result<void>{};
      CO_CHECK(co_await log_->wait(now() + kLook));
    }
  }

  /// Takes what has arrived, up to a few megabytes.
  Result<std::uint64_t> take(WalArchive& archive) {
    constexpr std::uint64_t kAtOnce = 4u << 20;
    std::uint64_t taken = 0;
    while (taken < kAtOnce) {
      TRY(const auto piece, log_->try_next());
      if (!piece) break;
      if (piece->start != archive.position())
        return fail(postgres::errors::bad_replication, "the log has a gap at " + archive.position().text());
      CHECK(archive.append(piece->bytes));
      taken += piece->bytes.size();
    }
    return taken;
  }

  Result<void> cover(Lsn position, std::optional<Timestamp> until) {
    auto& coverage = report_.coverage;
    coverage.log = log_name_;
    coverage.end = position.text();
    if (until) coverage.until = std::max(coverage.until, *until);
    // The end of a base backup is covered by its own end, whatever the server's clock has told since.
    TRY(const auto consistent, Lsn::parse(newest_->end));
    if (position >= consistent) coverage.until = std::max(coverage.until, newest_->ended);
    CHECK(repository_->write_coverage(coverage));
    covered_ = position;
    return {};
  }

  asio::any_io_executor executor_;
  ArchiverOptions options_;
  std::optional<Repository> repository_;
  std::unique_ptr<PhysicalLog> log_;
  ArchiverReport report_;
  std::int64_t timeline_ = 0;
  std::string log_name_;        ///< the run of the log that is written
  std::optional<Base> newest_;  ///< base backup
  Lsn consistent_;              ///< of the base backup that this run of the log begins with
  Lsn covered_;                 ///< what the coverage that is written down says
  Reach reach_;
  bool settled_ = false;           ///< the newest base backup is proven, older ones are retired
  std::optional<Error> unproven_;  ///< why it is not
  bool began_anew_ = false;
};

}  // namespace

Task<ArchiverReport> run_archiver(asio::any_io_executor executor, ArchiverOptions options) {
  Archiver archiver(std::move(executor), std::move(options));
  co_return co_await archiver.run();
}

}  // namespace intra365::backup
