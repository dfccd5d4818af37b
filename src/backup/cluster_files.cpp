#include "backup/cluster_files.hpp"

#include <fstream>
#include <map>

#include "backup/tar.hpp"
#include "crypto/digest.hpp"
#include "crypto/encoding.hpp"
#include "embedded/file.hpp"

namespace intra365::backup {
namespace {

struct Expected {
  std::uint64_t size = 0;
  std::string sha256;  ///< hex
};
using Manifest = std::map<std::string, Expected>;

constexpr std::size_t kMaxManifestBytes = 256u << 20;

/// https://www.postgresql.org/docs/current/backup-manifest-files.html
Result<Manifest> parse_manifest(const std::string& text) {
  TRY(const auto value, json::parse(text));
  const auto* files = value.is_object() ? value.as_object().if_contains("Files") : nullptr;
  if (files == nullptr || !files->is_array()) return fail(errors::damaged, "The manifest names no files.");
  Manifest manifest;
  for (const auto& entry : files->as_array()) {
    const auto* object = entry.if_object();
    const auto* path = object ? object->if_contains("Path") : nullptr;
    const auto* size = object ? object->if_contains("Size") : nullptr;
    const auto* sum = object ? object->if_contains("Checksum") : nullptr;
    if (!path || !path->is_string() || !size || !size->is_int64() || !sum || !sum->is_string())
      return fail(errors::damaged, "The manifest has an entry without path, size and checksum.");
    manifest[std::string(path->as_string())] = {static_cast<std::uint64_t>(size->as_int64()),
                                                std::string(sum->as_string())};
  }
  return manifest;
}

class ClusterWriter final : public TarSink {
 public:
  ClusterWriter(fs::path folder, Manifest manifest)
      : folder_(std::move(folder)), manifest_(std::move(manifest)) {}

  Result<void> begin(const TarEntry& entry) override {
    entry_ = entry;
    const auto path = folder_ / entry.name;
    if (entry.kind == TarEntry::Kind::link)
      return fail(errors::unsupported, "The database has tablespaces of its own.");
    if (entry.kind == TarEntry::Kind::directory) return embedded::make_directory(path);
    CHECK(embedded::make_directory(path.parent_path()));
    file_.open(path, std::ios::binary | std::ios::trunc);
    digest_ = crypto::Sha256();
    return {};
  }
  Result<void> data(std::string_view bytes) override {
    digest_.add(bytes);
    file_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    return {};
  }
  Result<void> end() override {
    if (entry_.kind != TarEntry::Kind::file) return {};
    file_.close();
    const auto path = folder_ / entry_.name;
    if (!file_) return fail(embedded::file_error(errno, path));
    std::error_code error;
    fs::permissions(path, fs::perms(0600), error);
    const auto expected = manifest_.find(entry_.name);
    if (expected == manifest_.end()) return {};  // the log, and what the server makes anew
    if (expected->second.size != entry_.size || expected->second.sha256 != crypto::hex(digest_.finish()))
      return fail(errors::damaged, entry_.name + " is not what its checksum says.");
    manifest_.erase(expected);
    return {};
  }
  /// Everything that the manifest names has come.
  Result<void> complete() const {
    if (manifest_.empty()) return {};
    return fail(errors::damaged, "The backup lacks " + manifest_.begin()->first + ".");
  }

 private:
  fs::path folder_;
  Manifest manifest_;
  TarEntry entry_;
  std::ofstream file_;
  crypto::Sha256 digest_;
};

}  // namespace

Result<void> extract_cluster(const Repository& repository, const Base& base, const fs::path& folder) {
  const auto open = [&](const char* name) {
    const auto file = repository.base_folder(base.name) / name;
    return SealedReader::open(repository.envelope(), repository.context(file), file);
  };
  TRY(auto files, open("files"));
  std::string text;
  for (;;) {
    TRY(const auto frame, files.next());
    if (!frame) break;
    text += *frame;
    if (text.size() > kMaxManifestBytes) return fail(errors::damaged, "The manifest is too large.");
  }
  TRY(auto manifest, parse_manifest(text));
  TRY(auto archive, open("base"));
  ClusterWriter writer(folder, std::move(manifest));
  TarReader reader(writer);
  for (;;) {
    TRY(const auto frame, archive.next());
    if (!frame) break;
    CHECK(reader.feed(*frame));
  }
  if (!files.finished() || !archive.finished()) return fail(errors::damaged, "A file of the backup is cut.");
  CHECK(reader.finish());
  return writer.complete();
}

}  // namespace intra365::backup
