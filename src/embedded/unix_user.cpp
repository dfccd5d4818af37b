#include "embedded/unix_user.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace intra365::embedded {
namespace {

std::optional<UnixUser> find_user(const char* name) {
  std::array<char, 16384> buffer;
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwnam_r(name, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
    return std::nullopt;
  if (found->pw_uid == 0) return std::nullopt;
  return UnixUser{found->pw_uid, found->pw_gid};
}

}  // namespace

Result<std::optional<UnixUser>> unprivileged_user() {
  if (::geteuid() != 0) return std::optional<UnixUser>();
  for (const char* name : {"postgres", "nobody"}) {
    if (const auto user = find_user(name)) return user;
  }
  return fail(errors::no_unprivileged_user);
}

bool become(const UnixUser& user) {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(user.gid, user.gid, user.gid) == 0 &&
         ::setresuid(user.uid, user.uid, user.uid) == 0;
}

bool can_reach(const UnixUser& user, const std::filesystem::path& path, int mode) {
  const auto text = path.string();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(become(user) && ::access(text.c_str(), mode) == 0 ? 0 : 1);
  if (child < 0) return false;
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace intra365::embedded
