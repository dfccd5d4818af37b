// A run of the log in a repository: appended to as it comes, read back as PostgreSQL's segments.
#pragma once
#include "backup/repository.hpp"

namespace intra365::backup {

/// One writer; the repository outlives it.
class WalArchive {
 public:
  /// Goes on behind what is there of the segment that holds `from`, or begins with that segment.
  static Result<WalArchive> open(const Repository& repository, std::string log, std::int64_t timeline,
                                 postgres::Lsn from);

  /// Where the next byte belongs.
  postgres::Lsn position() const { return position_; }
  Result<void> append(std::string_view bytes);
  /// Everything appended so far survives a crash.
  Result<void> sync();

 private:
  WalArchive(const Repository& repository, std::string log, std::int64_t timeline, postgres::Lsn position)
      : repository_(&repository), log_(std::move(log)), timeline_(timeline), position_(position) {}
  fs::path file() const;

  const Repository* repository_;
  std::string log_;
  std::int64_t timeline_;
  postgres::Lsn position_;
  std::optional<SealedWriter> segment_;  ///< none between two segments
};

/// Writes the segments from the start of `base` to the end of what is there into `folder`, each as long as
/// PostgreSQL wants it. Returns the position behind the last byte. Fails with `backup.damaged` when one is
/// missing or cut before `needed`.
Result<postgres::Lsn> extract_wal(const Repository& repository, const Base& base, postgres::Lsn needed,
                                  const fs::path& folder);

}  // namespace intra365::backup
