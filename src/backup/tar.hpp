// The tar archives that PostgreSQL's BASE_BACKUP sends (POSIX ustar: files, folders and links of at most 100
// bytes of name), read as they come. No other program's archives.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace intra365::backup {

struct TarEntry {
  enum class Kind { file, directory, link };
  Kind kind = Kind::file;
  std::string name;  ///< relative, without `..`, without a slash at its end
  std::uint64_t size = 0;
  unsigned mode = 0600;  ///< permission bits
};

/// Takes what an archive consists of; its first failure ends the reading.
class TarSink {
 public:
  virtual ~TarSink() = default;
  virtual Result<void> begin(const TarEntry& entry) = 0;
  virtual Result<void> data(std::string_view bytes) = 0;
  virtual Result<void> end() = 0;  ///< of the entry
};

/// Fails with `backup.damaged` on everything that such an archive does not have. Not usable after a failure.
class TarReader {
 public:
  explicit TarReader(TarSink& sink) : sink_(sink) {}
  Result<void> feed(std::string_view bytes);
  /// No more comes; fails when an entry is open.
  Result<void> finish() const;

 private:
  Result<void> header();

  TarSink& sink_;
  std::string block_;        ///< of a header, while it is being gathered
  std::uint64_t left_ = 0;   ///< of the entry's content
  std::size_t padding_ = 0;  ///< behind it
  bool in_entry_ = false, ended_ = false;
};

/// Header of a file's entry; its content follows, padded with zeros to whole blocks of 512 bytes. The name
/// has at most 99 bytes.
Result<std::string> tar_header(const std::string& name, std::uint64_t size, unsigned mode);
/// Bytes between the end of a content of `size` bytes and the next header.
std::size_t tar_padding(std::uint64_t size);

}  // namespace intra365::backup
