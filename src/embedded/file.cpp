#include "embedded/file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

namespace intra365::embedded {
namespace {

constexpr std::uintmax_t kMaxFileBytes = 1u << 20;

/// A descriptor that closes itself.
struct Descriptor {
  int number;
  explicit Descriptor(int number) : number(number) {}
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

bool write_all(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const auto written = ::write(descriptor, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

Error file_error(int number, const fs::path& path) {
  const auto detail = path.string() + ": " + std::strerror(number) + ". ";
  const auto declared = number == ENOSPC || number == EDQUOT                     ? errors::data_disk_full
                        : number == EACCES || number == EPERM || number == ELOOP ? errors::data_other_user
                                                                                 : errors::data_unwritable;
  return Error(declared, detail + std::string(declared.meaning));
}

Result<void> write_file(const fs::path& path, std::string_view content, mode_t mode) {
  const auto aside = path.string() + ".new";
  ::unlink(aside.c_str());  // left by a crash, perhaps with another mode
  const Descriptor file(::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (file.number < 0) return fail(file_error(errno, aside));
  if (::fchmod(file.number, mode) != 0 || !write_all(file.number, content) || ::fsync(file.number) != 0) {
    const int reason = errno;
    ::unlink(aside.c_str());
    return fail(file_error(reason, path));
  }
  return rename_durably(aside, path);
}

Result<std::string> read_file(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) return fail(file_error(error.value(), path));
  if (size > kMaxFileBytes) return fail(errors::data_unwritable, path.string() + " is larger than 1 MiB");
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return fail(file_error(errno == 0 ? EIO : errno, path));
  return text.str();
}

std::uintmax_t size_of(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  return error ? 0 : size;
}

std::string last_lines(const fs::path& path, std::uintmax_t from) {
  constexpr std::uintmax_t kLimitBytes = 1500;
  std::ifstream file(path, std::ios::binary);
  const auto size = size_of(path);
  if (!file || size <= from) return {};
  const bool cut = size - from > kLimitBytes;
  std::string text(std::min(size - from, kLimitBytes), '\0');
  file.seekg(static_cast<std::streamoff>(size - text.size()));
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (const auto line = text.find('\n'); cut && line != std::string::npos) text.erase(0, line + 1);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

Result<void> make_directory(const fs::path& path, mode_t mode) {
  std::error_code error;
  if (fs::is_directory(path, error)) return {};
  const auto parent = path.parent_path();
  if (!parent.empty() && parent != path) CHECK(make_directory(parent, 0755));
  if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST) return fail(file_error(errno, path));
  if (!fs::is_directory(path, error)) return fail(file_error(ENOTDIR, path));
  if (::chmod(path.c_str(), mode) != 0) return fail(file_error(errno, path));
  return sync_directory(parent.empty() ? fs::path(".") : parent);
}

Result<void> sync_directory(const fs::path& path) {
  const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.number < 0) return errno == EACCES ? Result<void>{} : fail(file_error(errno, path));
  // Some file systems cannot sync a directory and say EINVAL; they make renames durable by themselves.
  if (::fsync(directory.number) != 0 && errno != EINVAL) return fail(file_error(errno, path));
  return {};
}

Result<void> sync_file_system(const fs::path& path) {
  const Descriptor directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.number < 0 || ::syncfs(directory.number) != 0) return fail(file_error(errno, path));
  return {};
}

Result<void> rename_durably(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) return fail(file_error(errno, to));
  return sync_directory(to.parent_path());
}

void rotate_log(const fs::path& path, std::uintmax_t limit_bytes) {
  std::error_code error;
  if (size_of(path) > limit_bytes) fs::rename(path, path.string() + ".1", error);
}

}  // namespace intra365::embedded
