// Files that nobody can read or change without the key: a run of sealed frames, each bound to its file and
// to its place in it, so that none can be left out, repeated or moved. A finished file also has an end, so
// that it cannot be cut; one that still grows (the log's last segment) may lose a torn frame to a crash.
//
//   frame = length of what follows (4 bytes, big endian) | Envelope(plain; context | offset | data or end)
#pragma once
#include <cstdio>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "crypto/envelope.hpp"

namespace intra365::backup {

namespace fs = std::filesystem;

inline constexpr std::size_t max_frame_bytes = 1u << 20;  ///< of plain text

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using FilePtr = std::unique_ptr<std::FILE, FileCloser>;

/// One writer per file. The envelope outlives it.
class SealedWriter {
 public:
  /// Starts a new file, mode 0600; one that is there is replaced.
  static Result<SealedWriter> create(const crypto::Envelope& envelope, std::string context, fs::path path);
  /// Goes on where the last whole frame ends; what is torn behind it is cut off. A finished file is
  /// `backup.damaged`: there is nothing to go on with.
  static Result<SealedWriter> resume(const crypto::Envelope& envelope, std::string context, fs::path path);

  /// At most `max_frame_bytes` at once.
  Result<void> append(std::string_view plain);
  /// Everything appended so far survives a crash.
  Result<void> sync();
  /// Writes the end, and syncs.
  Result<void> finish();
  std::uint64_t plain_bytes() const { return plain_bytes_; }

 private:
  SealedWriter(const crypto::Envelope& envelope, std::string context, fs::path path, FilePtr file)
      : envelope_(&envelope), context_(std::move(context)), path_(std::move(path)), file_(std::move(file)) {}
  Result<void> write(std::string_view plain, bool end);

  const crypto::Envelope* envelope_;
  std::string context_;
  fs::path path_;
  FilePtr file_;
  std::uint64_t plain_bytes_ = 0;
};

/// The envelope outlives it.
class SealedReader {
 public:
  static Result<SealedReader> open(const crypto::Envelope& envelope, std::string context, fs::path path);
  /// The next frame; nullopt where the file ends. Fails with `backup.damaged` when a frame is not what was
  /// written there.
  Result<std::optional<std::string>> next();
  /// True once the end of a finished file was read.
  bool finished() const { return finished_; }
  /// Where in the file the last whole frame ends.
  std::uint64_t whole_bytes() const { return whole_bytes_; }
  std::uint64_t plain_bytes() const { return plain_bytes_; }

 private:
  SealedReader(const crypto::Envelope& envelope, std::string context, fs::path path, FilePtr file)
      : envelope_(&envelope), context_(std::move(context)), path_(std::move(path)), file_(std::move(file)) {}

  const crypto::Envelope* envelope_;
  std::string context_;
  fs::path path_;
  FilePtr file_;
  std::uint64_t plain_bytes_ = 0, whole_bytes_ = 0;
  bool finished_ = false;
};

/// A small finished file at once, replaced as a whole.
Result<void> write_sealed(const crypto::Envelope& envelope, const std::string& context, const fs::path& path,
                          std::string_view plain);
/// At most 16 MiB. Fails with `backup.damaged` unless the file is finished.
Result<std::string> read_sealed(const crypto::Envelope& envelope, const std::string& context,
                                const fs::path& path);

}  // namespace intra365::backup
