#include "backup/sealed_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "backup/errors.hpp"
#include "embedded/file.hpp"

namespace intra365::backup {
namespace {

constexpr std::size_t kLengthBytes = 4;
/// What the envelope adds: version, nonce, authenticator.
constexpr std::size_t kEnvelopeBytes = 1 + 24 + 16;
constexpr std::size_t kMaxSmallFile = 16u << 20;

std::string frame_context(const std::string& file, std::uint64_t offset, bool end) {
  return file + '\n' + std::to_string(offset) + (end ? "\nend" : "\ndata");
}

Failure damaged(const fs::path& path, std::uint64_t at) {
  return fail(errors::damaged, path.string() + " was changed, or is not where it was written (byte " +
                                   std::to_string(at) + ").");
}

Result<FilePtr> open_file(const fs::path& path, int flags, const char* mode) {
  const int descriptor = ::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (descriptor < 0) {
    if (errno == ENOENT) return fail(errors::damaged, path.string() + " is missing.");
    return fail(embedded::file_error(errno, path));
  }
  return FilePtr(::fdopen(descriptor, mode));
}

}  // namespace

Result<SealedWriter> SealedWriter::create(const crypto::Envelope& envelope, std::string context,
                                          fs::path path) {
  ::unlink(path.c_str());
  TRY(auto file, open_file(path, O_WRONLY | O_CREAT | O_EXCL, "wb"));
  return SealedWriter(envelope, std::move(context), std::move(path), std::move(file));
}

Result<SealedWriter> SealedWriter::resume(const crypto::Envelope& envelope, std::string context,
                                          fs::path path) {
  TRY(auto reader, SealedReader::open(envelope, context, path));
  for (;;) {
    TRY(const auto frame, reader.next());
    if (!frame) break;
  }
  if (reader.finished()) return fail(errors::damaged, path.string() + " is finished already.");
  TRY(auto file, open_file(path, O_RDWR, "r+b"));
  if (::ftruncate(::fileno(file.get()), static_cast<off_t>(reader.whole_bytes())) != 0 ||
      std::fseek(file.get(), 0, SEEK_END) != 0)
    return fail(embedded::file_error(errno, path));
  SealedWriter writer(envelope, std::move(context), std::move(path), std::move(file));
  writer.plain_bytes_ = reader.plain_bytes();
  return writer;
}

Result<void> SealedWriter::write(std::string_view plain, bool end) {
  const auto sealed = envelope_->seal(plain, frame_context(context_, plain_bytes_, end));
  const auto size = static_cast<std::uint32_t>(sealed.size());
  const std::array<char, kLengthBytes> length{static_cast<char>(size >> 24), static_cast<char>(size >> 16),
                                              static_cast<char>(size >> 8), static_cast<char>(size)};
  if (std::fwrite(length.data(), 1, length.size(), file_.get()) != length.size() ||
      std::fwrite(sealed.data(), 1, sealed.size(), file_.get()) != sealed.size())
    return fail(embedded::file_error(errno, path_));
  plain_bytes_ += plain.size();
  return {};
}

Result<void> SealedWriter::append(std::string_view plain) {
  while (plain.size() > max_frame_bytes) {
    CHECK(write(plain.substr(0, max_frame_bytes), false));
    plain.remove_prefix(max_frame_bytes);
  }
  return plain.empty() ? Result<void>{} : write(plain, false);
}

Result<void> SealedWriter::sync() {
  if (std::fflush(file_.get()) != 0 || ::fdatasync(::fileno(file_.get())) != 0)
    return fail(embedded::file_error(errno, path_));
  return {};
}

Result<void> SealedWriter::finish() {
  CHECK(write({}, true));
  return sync();
}

Result<SealedReader> SealedReader::open(const crypto::Envelope& envelope, std::string context,
                                        fs::path path) {
  TRY(auto file, open_file(path, O_RDONLY, "rb"));
  return SealedReader(envelope, std::move(context), std::move(path), std::move(file));
}

Result<std::optional<std::string>> SealedReader::next() {
  if (finished_) return std::nullopt;
  std::array<unsigned char, kLengthBytes> length{};
  if (std::fread(length.data(), 1, length.size(), file_.get()) != length.size()) return std::nullopt;
  const std::size_t size =
      std::size_t{length[0]} << 24 | std::size_t{length[1]} << 16 | std::size_t{length[2]} << 8 | length[3];
  if (size < kEnvelopeBytes || size > kEnvelopeBytes + max_frame_bytes) return damaged(path_, whole_bytes_);
  std::string sealed(size, '\0');
  if (std::fread(sealed.data(), 1, size, file_.get()) != size) return std::nullopt;  // torn by a crash
  const bool end = size == kEnvelopeBytes;
  auto plain = envelope_->open(sealed, frame_context(context_, plain_bytes_, end));
  if (!plain) return damaged(path_, whole_bytes_);
  whole_bytes_ += kLengthBytes + size;
  plain_bytes_ += plain->size();
  finished_ = end;
  if (end) return std::nullopt;
  return std::move(*plain);
}

Result<void> write_sealed(const crypto::Envelope& envelope, const std::string& context, const fs::path& path,
                          std::string_view plain) {
  const fs::path aside = path.string() + ".new";
  {
    TRY(auto writer, SealedWriter::create(envelope, context, aside));
    CHECK(writer.append(plain));
    CHECK(writer.finish());
  }
  return embedded::rename_durably(aside, path);
}

Result<std::string> read_sealed(const crypto::Envelope& envelope, const std::string& context,
                                const fs::path& path) {
  TRY(auto reader, SealedReader::open(envelope, context, path));
  std::string plain;
  for (;;) {
    TRY(const auto frame, reader.next());
    if (!frame) break;
    plain += *frame;
    if (plain.size() > kMaxSmallFile) return fail(errors::damaged, path.string() + " is too large.");
  }
  if (!reader.finished()) return fail(errors::damaged, path.string() + " has no end.");
  return plain;
}

}  // namespace intra365::backup
