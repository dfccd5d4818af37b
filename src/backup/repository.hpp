// The place where backups lie: what is in it, who may write to it, and the key that opens it.
//
//   repository            what this place is (sealed)
//   lock                  held by the one process that writes
//   bases/<time>/         manifest, base, files, platform: one base backup; complete, because it appears by a
//                         rename
//   bases/<time>/proven   it was restored to see that it can be
//   wal/<log>/            a run of the log without a gap: segments by PostgreSQL's names; the last one grows
//   wal/<log>/until       how far it goes
//   wal/<timeline>.history
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backup/errors.hpp"
#include "backup/sealed_file.hpp"
#include "json/json.hpp"
#include "postgres/lsn.hpp"

namespace intra365::backup {

/// One base backup.
struct Base {
  std::string name;        ///< of its folder
  std::string log;         ///< the run of the log that goes on behind it
  Timestamp begun, ended;  ///< by the server's clock; a restore reaches any second from `ended` on
  std::string start, end;  ///< positions in the log: needed from, consistent at
  std::int64_t timeline = 0;
  std::int64_t bytes = 0;  ///< of the cluster's files
  bool platform = false;   ///< keys and certificates of an embedded platform are with it
  std::string version;     ///< of the program that made it
};
BOOST_DESCRIBE_STRUCT(Base, (), (name, log, begun, ended, start, end, timeline, bytes, platform, version))

/// How far a run of the log goes.
struct Coverage {
  std::string log;
  std::string end;  ///< position behind the last byte
  Timestamp until;  ///< every commit that was acknowledged before is in it
};
BOOST_DESCRIBE_STRUCT(Coverage, (), (log, end, until))

/// What the place itself is.
struct Description {
  std::int64_t format = 1;
  std::string id;         ///< random; part of every file's context
  std::string system_id;  ///< of the database cluster
  std::int64_t segment_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(Description, (), (format, id, system_id, segment_bytes))

/// Owned by one thread. Movable.
class Repository {
 public:
  /// Opens the place to read from it. Fails with `backup.not_found`, `backup.key_lost`, `backup.key_file`,
  /// `backup.wrong_key` or `backup.damaged`.
  static Result<Repository> open(const fs::path& path, const fs::path& key_file);
  /// Opens it to write, alone; makes the place where there is none, and the key where there is neither;
  /// removes what a base backup that was killed has left. Fails also with `backup.busy`, `backup.not_ours` or
  /// `backup.other_database`.
  static Result<Repository> open_to_write(const fs::path& path, const fs::path& key_file,
                                          const std::string& system_id, std::int64_t segment_bytes);
  Repository(Repository&& other) noexcept;
  Repository& operator=(Repository&&) = delete;
  ~Repository();

  const fs::path& path() const { return path_; }
  const crypto::Envelope& envelope() const { return *envelope_; }
  const Description& description() const { return description_; }
  bool made_key() const { return made_key_; }
  /// Binds a file's frames to this place and to its name in it.
  std::string context(const fs::path& file) const;

  /// Oldest first.
  Result<std::vector<Base>> bases() const;
  fs::path base_folder(const std::string& name) const { return path_ / "bases" / name; }
  Result<void> write_base(const fs::path& folder, const Base& base) const;
  /// Whether the base backup was restored to see that it can be.
  bool is_proven(const Base& base) const;
  Result<void> mark_proven(const Base& base) const;
  /// Removes base backups that a run before this one did not finish.
  void remove_parts() const;

  fs::path log_folder(const std::string& log) const { return path_ / "wal" / log; }
  /// Nullopt where nothing of that run is here.
  Result<std::optional<Coverage>> coverage(const std::string& log) const;
  Result<void> write_coverage(const Coverage& coverage) const;
  /// The log behind a base that can be restored. Nullopt where it does not reach to where the base's files
  /// are consistent: it was cut off while the base was made.
  Result<std::optional<Coverage>> covered(const Base& base) const;
  /// Timelines whose history is here: their numbers are taken.
  std::vector<std::int64_t> histories() const;
  fs::path history_file(std::int64_t timeline) const;
  std::uint64_t segment_bytes() const { return static_cast<std::uint64_t>(description_.segment_bytes); }

  /// Removes what is older than the newest `keep` bases that can be restored, and the log that none of the
  /// others needs.
  Result<void> retire(std::size_t keep) const;

 private:
  Repository(fs::path path, std::unique_ptr<crypto::Envelope> envelope)
      : path_(std::move(path)), envelope_(std::move(envelope)) {}
  Result<void> read_description();

  fs::path path_;
  std::unique_ptr<crypto::Envelope> envelope_;
  Description description_;
  bool made_key_ = false;
  int lock_ = -1;
};

/// PostgreSQL's name of the segment that holds `position`.
std::string segment_name(std::int64_t timeline, postgres::Lsn position, std::uint64_t segment_bytes);

}  // namespace intra365::backup
