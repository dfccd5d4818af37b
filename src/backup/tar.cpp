#include "backup/tar.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "backup/errors.hpp"

namespace intra365::backup {
namespace {

constexpr std::size_t kBlock = 512;
/// Fields of a header: where they begin, and how long they are.
constexpr std::size_t kName = 0, kNameSize = 100, kMode = 100, kModeSize = 8, kSize = 124, kSizeSize = 12,
                      kChecksum = 148, kChecksumSize = 8, kType = 156, kMagic = 257, kPrefix = 345;

Failure bad(std::string_view why) {
  return fail(errors::damaged, "An archive of the backup cannot be read: " + std::string(why) + ".");
}

/// Octal digits, ended by a space, a zero byte or the field's end; or, first bit set, a big-endian number.
Result<std::uint64_t> number(std::string_view field) {
  std::uint64_t value = 0;
  if (!field.empty() && (static_cast<unsigned char>(field[0]) & 0x80) != 0) {
    for (const char byte : field.substr(field.size() - 8))
      value = value << 8 | static_cast<unsigned char>(byte);
    return value >> 62 == 0 ? Result<std::uint64_t>(value) : bad("a number out of range");
  }
  for (const char digit : field) {
    if (digit == '\0' || digit == ' ') break;
    if (digit < '0' || digit > '7') return bad("a number that is none");
    value = value << 3 | static_cast<std::uint64_t>(digit - '0');
  }
  return value;
}

std::uint64_t checksum(std::string_view block) {
  std::uint64_t sum = 0;
  for (std::size_t at = 0; at < kBlock; ++at) {
    const bool own = at >= kChecksum && at < kChecksum + kChecksumSize;
    sum += own ? static_cast<unsigned char>(' ') : static_cast<unsigned char>(block[at]);
  }
  return sum;
}

/// The name without `./` in front and slashes behind; nothing that leads out of the folder.
Result<std::string> clean_name(std::string_view name) {
  while (name.starts_with("./")) name.remove_prefix(2);
  while (name.ends_with('/')) name.remove_suffix(1);
  if (name.empty() || name == ".") return std::string(".");
  for (std::size_t at = 0; at <= name.size();) {
    const auto end = std::min(name.find('/', at), name.size());
    const auto part = name.substr(at, end - at);
    if (part.empty() || part == ".." || part == ".") return bad("a name that leads elsewhere");
    at = end + 1;
  }
  return std::string(name);
}

}  // namespace

Result<void> TarReader::header() {
  const std::string block = std::exchange(block_, {});
  if (std::ranges::all_of(block, [](char byte) { return byte == '\0'; })) {
    ended_ = true;
    return {};
  }
  const std::string_view view(block);
  TRY(const auto sum, number(view.substr(kChecksum, kChecksumSize)));
  if (sum != checksum(view)) return bad("a header with a wrong sum");
  if (view.substr(kMagic, 5) != "ustar" || view[kPrefix] != '\0') return bad("not the tar of PostgreSQL");
  TarEntry entry;
  const auto name = view.substr(kName, kNameSize);
  TRY(entry.name, clean_name(name.substr(0, name.find('\0'))));
  TRY(const auto mode, number(view.substr(kMode, kModeSize)));
  entry.mode = static_cast<unsigned>(mode & 0777);
  const char type = view[kType];
  if (type == '0' || type == '\0') {
    TRY(entry.size, number(view.substr(kSize, kSizeSize)));
  } else if (type == '5') {
    entry.kind = TarEntry::Kind::directory;
  } else if (type == '2') {
    entry.kind = TarEntry::Kind::link;
  } else {
    return bad("an entry of an unknown kind");
  }
  left_ = entry.size;
  padding_ = tar_padding(entry.size);
  in_entry_ = true;
  return sink_.begin(entry);
}

Result<void> TarReader::feed(std::string_view bytes) {
  // What follows the end is padding.
  while (!bytes.empty() && !ended_) {
    if (!in_entry_ && padding_ > 0) {
      const auto skipped = std::min(padding_, bytes.size());
      padding_ -= skipped;
      bytes.remove_prefix(skipped);
      continue;
    }
    if (!in_entry_) {
      const auto taken = std::min(kBlock - block_.size(), bytes.size());
      block_.append(bytes.substr(0, taken));
      bytes.remove_prefix(taken);
      if (block_.size() == kBlock) CHECK(header());
    } else {
      const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
      if (taken > 0) CHECK(sink_.data(bytes.substr(0, taken)));
      left_ -= taken;
      bytes.remove_prefix(taken);
    }
    if (in_entry_ && left_ == 0) {
      in_entry_ = false;
      CHECK(sink_.end());
    }
  }
  return {};
}

Result<void> TarReader::finish() const {
  if (in_entry_ || (padding_ > 0 && !ended_) || !block_.empty()) return bad("it ends in the middle");
  return {};
}

std::size_t tar_padding(std::uint64_t size) {
  return static_cast<std::size_t>((kBlock - size % kBlock) % kBlock);
}

Result<std::string> tar_header(const std::string& name, std::uint64_t size, unsigned mode) {
  if (name.empty() || name.size() >= kNameSize) return bad("a name longer than 99 bytes: " + name);
  if (size >> 33 != 0) return bad("a file of 8 GiB or more: " + name);
  std::string block(kBlock, '\0');
  const auto put = [&](std::size_t at, std::string_view text) { block.replace(at, text.size(), text); };
  put(kName, name);
  put(kMode, fmt::format("{:07o}", mode & 0777));
  put(kSize, fmt::format("{:011o}", size));
  put(kType, "0");
  put(kMagic, std::string_view("ustar\00000", 8));
  put(kChecksum, fmt::format("{:06o}", checksum(block)) + std::string("\0 ", 2));
  return block;
}

}  // namespace intra365::backup
