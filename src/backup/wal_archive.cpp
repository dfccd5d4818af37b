#include "backup/wal_archive.hpp"

#include <fstream>

#include "embedded/file.hpp"

namespace intra365::backup {

Result<WalArchive> WalArchive::open(const Repository& repository, std::string log, std::int64_t timeline,
                                    postgres::Lsn from) {
  CHECK(embedded::make_directory(repository.log_folder(log)));
  const auto begin = from.value - from.value % repository.segment_bytes();
  WalArchive archive(repository, std::move(log), timeline, postgres::Lsn{begin});
  std::error_code error;
  const auto file = archive.file();
  if (!fs::exists(file, error)) return archive;
  const auto context = repository.context(file);
  TRY(auto reader, SealedReader::open(repository.envelope(), context, file));
  for (;;) {
    TRY(const auto frame, reader.next());
    if (!frame) break;
  }
  archive.position_.value += reader.plain_bytes();
  if (reader.finished()) return archive;
  TRY(auto writer, SealedWriter::resume(repository.envelope(), context, file));
  archive.segment_.emplace(std::move(writer));
  // A crash between the last byte and the end's mark.
  if (reader.plain_bytes() == repository.segment_bytes()) {
    CHECK(archive.segment_->finish());
    archive.segment_.reset();
  }
  return archive;
}

fs::path WalArchive::file() const {
  return repository_->log_folder(log_) / segment_name(timeline_, position_, repository_->segment_bytes());
}

Result<void> WalArchive::append(std::string_view bytes) {
  const auto size = repository_->segment_bytes();
  while (!bytes.empty()) {
    if (!segment_) {
      TRY(auto writer, SealedWriter::create(repository_->envelope(), repository_->context(file()), file()));
      segment_.emplace(std::move(writer));
      CHECK(embedded::sync_directory(repository_->log_folder(log_)));
    }
    const auto room = size - position_.value % size;
    const auto piece = bytes.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(room, bytes.size())));
    CHECK(segment_->append(piece));
    position_.value += piece.size();
    bytes.remove_prefix(piece.size());
    if (piece.size() == room) {
      CHECK(segment_->finish());
      segment_.reset();
    }
  }
  return {};
}

Result<void> WalArchive::sync() {
  return segment_ ? segment_->sync() : Result<void>{};
}

Result<postgres::Lsn> extract_wal(const Repository& repository, const Base& base, postgres::Lsn needed,
                                  const fs::path& folder) {
  TRY(const auto from, postgres::Lsn::parse(base.start));
  const auto size = repository.segment_bytes();
  postgres::Lsn position{from.value - from.value % size};
  for (;;) {
    const auto name = segment_name(base.timeline, position, size);
    const auto file = repository.log_folder(base.log) / name;
    std::error_code error;
    if (!fs::exists(file, error)) break;
    TRY(auto reader, SealedReader::open(repository.envelope(), repository.context(file), file));
    std::ofstream segment(folder / name, std::ios::binary);
    for (;;) {
      TRY(const auto frame, reader.next());
      if (!frame) break;
      segment.write(frame->data(), static_cast<std::streamsize>(frame->size()));
    }
    segment.close();
    if (!segment) return fail(embedded::file_error(errno, folder / name));
    position.value += reader.plain_bytes();
    // The server takes whole segments only; zeros behind the last record are where the log ends.
    fs::resize_file(folder / name, size, error);
    if (error) return fail(embedded::file_error(error.value(), folder / name));
    if (!reader.finished()) break;
  }
  if (position < needed)
    return fail(errors::damaged, "The log in " + repository.log_folder(base.log).string() + " ends at " +
                                     position.text() + ", it is needed to " + needed.text() + ".");
  return position;
}

}  // namespace intra365::backup
