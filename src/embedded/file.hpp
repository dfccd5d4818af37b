// Files that survive a crash whole: written aside, synced, renamed. And what a failed system call means.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <string>
#include <string_view>

#include "embedded/errors.hpp"

namespace intra365::embedded {

namespace fs = std::filesystem;

/// The error for an `errno` value at a file: disk full, somebody else's, or else unwritable.
Error file_error(int number, const fs::path& path);

/// Replaces the file by `content`. Readers see the old or the new content, whole, also after a power cut.
Result<void> write_file(const fs::path& path, std::string_view content, mode_t mode = 0600);
/// The content of a file of at most 1 MiB.
Result<std::string> read_file(const fs::path& path);
/// The end of a log, at most 1500 bytes, beginning with a whole line and behind byte `from`; empty when there
/// is nothing.
std::string last_lines(const fs::path& path, std::uintmax_t from = 0);
/// Size in bytes; 0 when the file is not there.
std::uintmax_t size_of(const fs::path& path);

/// Makes the directory, and what is missing above it, unless it exists; sets `mode` when it made it.
Result<void> make_directory(const fs::path& path, mode_t mode = 0700);
/// Makes a rename or a new file inside the directory durable.
Result<void> sync_directory(const fs::path& path);
/// Makes everything written so far to the file system of `path` durable.
Result<void> sync_file_system(const fs::path& path);
/// Renames and makes it durable; both sides in the same file system.
Result<void> rename_durably(const fs::path& from, const fs::path& to);

/// Moves a log above `limit_bytes` aside as `<name>.1`, replacing the one that was there.
void rotate_log(const fs::path& path, std::uintmax_t limit_bytes);

}  // namespace intra365::embedded
