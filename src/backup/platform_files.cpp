#include "backup/platform_files.hpp"

#include <algorithm>
#include <vector>

#include "backup/errors.hpp"
#include "backup/tar.hpp"
#include "embedded/file.hpp"
#include "embedded/paths.hpp"

namespace intra365::backup {
namespace {

Result<std::vector<fs::path>> files_of(const embedded::Paths& paths) {
  std::vector<fs::path> files;
  std::error_code error;
  for (const auto& file : {paths.version(), paths.admin_key()}) {
    if (fs::exists(file, error)) files.push_back(file);
  }
  for (const auto& folder : {paths.keys(), paths.tls(), paths.nats_accounts()}) {
    if (!fs::exists(folder, error)) continue;
    for (fs::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
         entry.increment(error)) {
      if (entry->is_regular_file()) files.push_back(entry->path());
    }
    if (error) return fail(embedded::file_error(error.value(), folder));
  }
  std::ranges::sort(files);
  return files;
}

/// Writes each file whole, mode 0600; folders are closed.
class Writer final : public TarSink {
 public:
  explicit Writer(fs::path into) : into_(std::move(into)) {}
  Result<void> begin(const TarEntry& entry) override {
    if (entry.kind != TarEntry::Kind::file || entry.size > max_frame_bytes)
      return fail(errors::damaged, "The platform's files hold more than files.");
    path_ = into_ / entry.name;
    content_.clear();
    return embedded::make_directory(path_.parent_path());
  }
  Result<void> data(std::string_view bytes) override {
    content_ += bytes;
    return {};
  }
  Result<void> end() override { return embedded::write_file(path_, content_); }

 private:
  fs::path into_, path_;
  std::string content_;
};

}  // namespace

Result<std::size_t> save_platform_files(const fs::path& data_dir, SealedWriter& into) {
  const embedded::Paths paths(data_dir);
  TRY(const auto files, files_of(paths));
  for (const auto& file : files) {
    TRY(const auto content, embedded::read_file(file));
    TRY(const auto header, tar_header(file.lexically_relative(data_dir).string(), content.size(), 0600));
    CHECK(into.append(header + content + std::string(tar_padding(content.size()), '\0')));
  }
  CHECK(into.append(std::string(1024, '\0')));
  return files.size();
}

Result<void> restore_platform_files(SealedReader& from, const fs::path& data_dir) {
  Writer writer(data_dir);
  TarReader reader(writer);
  for (;;) {
    TRY(const auto frame, from.next());
    if (!frame) break;
    CHECK(reader.feed(*frame));
  }
  if (!from.finished()) return fail(errors::damaged, "The platform's files in the backup are cut.");
  return reader.finish();
}

}  // namespace intra365::backup
