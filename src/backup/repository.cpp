#include "backup/repository.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/ids.hpp"
#include "crypto/encoding.hpp"
#include "embedded/file.hpp"

namespace intra365::backup {
namespace {

constexpr std::size_t kKeyBytes = 32;
constexpr std::int64_t kFormat = 1;

Result<std::string> read_key(const fs::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) return fail(errors::key_lost, file.string() + " is missing.");
  if ((status.st_mode & 077) != 0)
    return fail(errors::bad_key_file, file.string() + " can be read by others; give it mode 0600.");
  TRY(auto text, embedded::read_file(file));
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  const auto key = crypto::decode_base64url(text);
  if (!key || key->size() != kKeyBytes)
    return fail(errors::bad_key_file, file.string() + " does not hold a key of 32 bytes in base64url.");
  return *key;
}

/// Files that may lie in a directory before it is ours.
Result<void> check_empty(const fs::path& path) {
  std::error_code error;
  for (fs::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    const auto name = entry->path().filename();
    if (name == "lock" || name == "lost+found" || name == "repository.new") continue;
    return fail(errors::not_ours, path.string() + " holds other files (" + name.string() + ").");
  }
  return {};
}

Result<int> take_lock(const fs::path& path) {
  const int lock = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) return fail(embedded::file_error(errno, path));
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0) return lock;
  ::close(lock);
  return fail(errors::busy);
}

}  // namespace

std::string segment_name(std::int64_t timeline, postgres::Lsn position, std::uint64_t segment_bytes) {
  const auto number = position.value / segment_bytes;
  const auto per_file = 0x100000000ULL / segment_bytes;
  return fmt::format("{:08X}{:08X}{:08X}", timeline, number / per_file, number % per_file);
}

Repository::Repository(Repository&& other) noexcept
    : path_(std::move(other.path_)),
      envelope_(std::move(other.envelope_)),
      description_(std::move(other.description_)),
      made_key_(other.made_key_),
      lock_(std::exchange(other.lock_, -1)) {}

Repository::~Repository() {
  if (lock_ >= 0) ::close(lock_);
}

Result<void> Repository::read_description() {
  auto text = read_sealed(*envelope_, "repository", path_ / "repository");
  if (!text) return fail(errors::wrong_key);
  TRY(description_, json::decode<Description>(*text));
  if (description_.format != kFormat)
    return fail(errors::damaged, fmt::format("{} has format {}, this program knows {}.", path_.string(),
                                             description_.format, kFormat));
  return {};
}

Result<Repository> Repository::open(const fs::path& place, const fs::path& key_file) {
  std::error_code error;
  const auto path = fs::absolute(place, error);
  if (!fs::exists(path / "repository", error))
    return fail(errors::not_found, path.string() + " holds no backups.");
  TRY(auto key, read_key(key_file));
  Repository opened(path, std::make_unique<crypto::Envelope>(std::move(key)));
  CHECK(opened.read_description());
  return opened;
}

Result<Repository> Repository::open_to_write(const fs::path& place, const fs::path& key_path,
                                             const std::string& system_id, std::int64_t segment_bytes) {
  std::error_code error;
  const auto path = fs::absolute(place, error), key_file = fs::absolute(key_path, error);
  CHECK(embedded::make_directory(path));
  const bool known = fs::exists(path / "repository", error);
  if (!known) CHECK(check_empty(path));
  TRY(const int lock, take_lock(path / "lock"));
  bool made_key = false;
  if (!known && !fs::exists(key_file, error)) {
    CHECK(embedded::make_directory(key_file.parent_path()));
    CHECK(embedded::write_file(key_file, crypto::base64url(random_bytes(kKeyBytes)) + "\n"));
    made_key = true;
  }
  auto key = read_key(key_file);
  if (!key) {
    ::close(lock);
    return fail(std::move(key).error());
  }
  Repository opened(path, std::make_unique<crypto::Envelope>(std::move(*key)));
  opened.lock_ = lock;
  opened.made_key_ = made_key;
  if (!known) {
    CHECK(embedded::make_directory(path / "bases"));
    CHECK(embedded::make_directory(path / "wal"));
    opened.description_ = {kFormat, random_token(22), system_id, segment_bytes};
    CHECK(write_sealed(*opened.envelope_, "repository", path / "repository",
                       json::encode(opened.description_)));
    return opened;
  }
  CHECK(opened.read_description());
  if (opened.description_.system_id != system_id || opened.description_.segment_bytes != segment_bytes)
    return fail(errors::other_database);
  opened.remove_parts();
  return opened;
}

std::string Repository::context(const fs::path& file) const {
  return description_.id + '\n' + file.lexically_relative(path_).string();
}

Result<void> Repository::write_base(const fs::path& folder, const Base& base) const {
  // Bound to the name that the folder will have, not to the one it has while it is being written.
  return write_sealed(*envelope_, context(base_folder(base.name) / "manifest"), folder / "manifest",
                      json::encode(base));
}

bool Repository::is_proven(const Base& base) const {
  const auto file = base_folder(base.name) / "proven";
  return read_sealed(*envelope_, context(file), file).has_value();
}

Result<void> Repository::mark_proven(const Base& base) const {
  const auto file = base_folder(base.name) / "proven";
  return write_sealed(*envelope_, context(file), file, base.name);
}

void Repository::remove_parts() const {
  std::error_code error;
  for (fs::directory_iterator entry(path_ / "bases", error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().extension() == ".part") fs::remove_all(entry->path(), ignored);
  }
}

Result<std::vector<Base>> Repository::bases() const {
  std::vector<Base> found;
  std::error_code error;
  for (fs::directory_iterator entry(path_ / "bases", error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() == ".part") continue;
    const auto manifest = entry->path() / "manifest";
    TRY(const auto text, read_sealed(*envelope_, context(manifest), manifest));
    TRY(auto base, json::decode<Base>(text));
    found.push_back(std::move(base));
  }
  if (error) return fail(embedded::file_error(error.value(), path_ / "bases"));
  std::ranges::sort(found, {}, &Base::ended);
  return found;
}

fs::path Repository::history_file(std::int64_t timeline) const {
  return path_ / "wal" / fmt::format("{:08X}.history", timeline);
}

std::vector<std::int64_t> Repository::histories() const {
  std::vector<std::int64_t> found;
  std::error_code error;
  for (fs::directory_iterator entry(path_ / "wal", error), end; !error && entry != end;
       entry.increment(error)) {
    if (entry->path().extension() != ".history") continue;
    const auto name = entry->path().stem().string();
    std::int64_t number = 0;
    std::from_chars(name.data(), name.data() + name.size(), number, 16);
    if (number > 0) found.push_back(number);
  }
  return found;
}

Result<std::optional<Coverage>> Repository::coverage(const std::string& log) const {
  std::error_code error;
  const auto file = log_folder(log) / "until";
  if (!fs::exists(file, error)) return std::nullopt;
  TRY(const auto text, read_sealed(*envelope_, context(file), file));
  return json::decode<Coverage>(text);
}

Result<void> Repository::write_coverage(const Coverage& coverage) const {
  const auto file = log_folder(coverage.log) / "until";
  return write_sealed(*envelope_, context(file), file, json::encode(coverage));
}

Result<std::optional<Coverage>> Repository::covered(const Base& base) const {
  TRY(auto reaches, coverage(base.log));
  if (!reaches) return std::nullopt;
  TRY(const auto consistent, postgres::Lsn::parse(base.end));
  TRY(const auto end, postgres::Lsn::parse(reaches->end));
  return end >= consistent ? std::move(reaches) : std::nullopt;
}

Result<void> Repository::retire(std::size_t keep) const {
  TRY(const auto all, bases());
  auto kept = all.end();
  for (std::size_t restorable = 0; kept != all.begin() && restorable < keep;) {
    TRY(const auto reaches, covered(*--kept));
    if (reaches) ++restorable;
  }
  if (keep == 0 || kept == all.begin()) return {};
  std::error_code error;
  for (auto base = all.begin(); base != kept; ++base) {
    // By a rename first: what is half removed must not look like a backup.
    const auto gone = base_folder(base->name + ".part");
    CHECK(embedded::rename_durably(base_folder(base->name), gone));
    fs::remove_all(gone, error);
  }
  for (fs::directory_iterator log(path_ / "wal", error), end; !error && log != end; log.increment(error)) {
    if (!log->is_directory()) continue;
    // The oldest base backup that still needs this run of the log.
    const auto user = std::find_if(
        kept, all.end(), [&](const Base& base) { return base.log == log->path().filename().string(); });
    if (user == all.end()) {
      fs::remove_all(log->path(), error);
      continue;
    }
    TRY(const auto start, postgres::Lsn::parse(user->start));
    const auto first = segment_name(user->timeline, start, segment_bytes());
    for (const auto& segment : fs::directory_iterator(log->path(), error)) {
      const auto name = segment.path().filename().string();
      if (name.size() == first.size() && name < first) fs::remove(segment.path(), error);
    }
  }
  return {};
}

}  // namespace intra365::backup
