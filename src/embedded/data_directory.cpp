#include "embedded/data_directory.hpp"

#include <fcntl.h>
#include <pwd.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "embedded/file.hpp"
#include "embedded/locate.hpp"

namespace intra365::embedded {
namespace {

/// Files that may lie in a directory before it is ours: our own lock, and what a fresh file system has.
bool is_harmless(const fs::path& name) {
  return name == "lock" || name == "version.new" || name == "lost+found";
}

Result<void> check_owner(const fs::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return fail(file_error(errno, path));
  if (status.st_uid == ::geteuid()) return {};
  return fail(errors::data_other_user, path.string() + " belongs to user " + std::to_string(status.st_uid) +
                                           ", we are user " + std::to_string(::geteuid()) + ". " +
                                           std::string(errors::data_other_user.meaning));
}

/// When root runs PostgreSQL as somebody else, that user must get through to its own folder; names inside
/// stay hidden, and every folder in it is closed.
Result<void> set_mode(const fs::path& path) {
  const mode_t mode = ::geteuid() == 0 ? 0711 : 0700;
  if (::chmod(path.c_str(), mode) != 0) return fail(file_error(errno, path));
  return {};
}

int read_number(const fs::path& path) {
  const auto text = read_file(path);
  int number = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), number);
  return number;
}

Result<int> take_lock(const fs::path& path) {
  const int lock = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock < 0) return fail(file_error(errno, path));
  if (::flock(lock, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    ::close(lock);
    if (reason != EWOULDBLOCK) return fail(file_error(reason, path));
    const int holder = read_number(path);
    return fail(errors::data_locked, path.parent_path().string() + " is in use by process " +
                                         std::to_string(holder) + ". " +
                                         std::string(errors::data_locked.meaning));
  }
  const auto pid = std::to_string(::getpid()) + "\n";
  if (::ftruncate(lock, 0) != 0 || ::pwrite(lock, pid.data(), pid.size(), 0) < 0) {
    const int reason = errno;
    ::close(lock);
    return fail(file_error(reason, path));
  }
  return lock;
}

Result<void> check_layout(const Paths& paths) {
  std::error_code error;
  if (fs::exists(paths.version(), error)) {
    const int layout = read_number(paths.version());
    if (layout > data_layout) {
      return fail(errors::data_newer_version, paths.data.string() + " has layout " + std::to_string(layout) +
                                                  ", this program knows " + std::to_string(data_layout) +
                                                  ". " + std::string(errors::data_newer_version.meaning));
    }
    if (layout >= 1) return {};
    return fail(errors::data_not_ours, paths.version().string() + " does not hold a layout number. " +
                                           std::string(errors::data_not_ours.meaning));
  }
  return write_file(paths.version(), std::to_string(data_layout) + "\n");
}

Result<void> check_space(const fs::path& path) {
  std::error_code error;
  const auto space = fs::space(path, error);
  if (error || space.available >= min_free_bytes) return {};
  return fail(errors::data_disk_full, path.string() + " has " + std::to_string(space.available >> 20) +
                                          " MB left. " + std::string(errors::data_disk_full.meaning));
}

/// A directory with other people's files is left alone before a lock or a mode touches it.
Result<void> check_foreign(const Paths& paths) {
  std::error_code error;
  if (fs::exists(paths.version(), error)) return {};
  for (fs::directory_iterator entry(paths.data, error), end; !error && entry != end; entry.increment(error)) {
    const auto name = entry->path().filename();
    if (is_harmless(name)) continue;
    return fail(errors::data_not_ours, paths.data.string() + " holds other files (" + name.string() + "). " +
                                           std::string(errors::data_not_ours.meaning));
  }
  return {};
}

}  // namespace

Result<DataDirectory> DataDirectory::open(const fs::path& path) {
  std::error_code error;
  const Paths wanted(fs::weakly_canonical(fs::absolute(path), error));
  CHECK(make_directory(wanted.data));
  CHECK(check_owner(wanted.data));
  CHECK(check_foreign(wanted));
  TRY(const int lock, take_lock(wanted.lock()));
  DataDirectory directory(wanted, lock);
  CHECK(check_space(wanted.data));
  CHECK(check_layout(wanted));
  CHECK(set_mode(wanted.data));
  directory.remove_endpoints();
  for (const auto& folder : {wanted.logs(), wanted.nats(), wanted.nats_accounts(), wanted.nats_jetstream()}) {
    CHECK(make_directory(folder));
  }
  return directory;
}

DataDirectory::~DataDirectory() {
  if (lock_ >= 0) ::close(lock_);
}

Result<void> DataDirectory::write_endpoints(std::string_view json) const {
  return write_file(paths_.endpoints(), json);
}

void DataDirectory::remove_endpoints() const {
  ::unlink(paths_.endpoints().c_str());
}

fs::path default_data_directory() {
  if (const char* data = std::getenv("XDG_DATA_HOME"); data && *data == '/')
    return fs::path(data) / "intra365";
  if (const char* home = std::getenv("HOME"); home && *home == '/')
    return fs::path(home) / ".local/share/intra365";
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found) {
    return fs::path(found->pw_dir) / ".local/share/intra365";
  }
  return fs::path(system_directory) / "data";
}

int running_in(const fs::path& path) {
  const int lock = ::open(Paths(path).lock().c_str(), O_RDONLY | O_CLOEXEC);
  if (lock < 0) return 0;
  const bool free = ::flock(lock, LOCK_SH | LOCK_NB) == 0;
  ::close(lock);
  return free ? 0 : read_number(Paths(path).lock());
}

}  // namespace intra365::embedded
