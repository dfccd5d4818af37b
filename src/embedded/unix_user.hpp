// Whom a server runs as when we are root, and what that user can reach.
#pragma once
#include <sys/types.h>

#include <filesystem>
#include <optional>

#include "embedded/errors.hpp"

namespace intra365::embedded {

struct UnixUser {
  uid_t uid = 0;
  gid_t gid = 0;
  friend bool operator==(const UnixUser&, const UnixUser&) = default;
};

/// Nobody when we are not root (a child then runs as we do); else the user `postgres`, or `nobody`. Fails
/// with `server.no_unprivileged_user`.
Result<std::optional<UnixUser>> unprivileged_user();

/// Whether `user` gets at `path` with `mode` (R_OK, W_OK, X_OK), through every directory above it: tried in a
/// child process that becomes the user, so that access lists and security modules count, too.
bool can_reach(const UnixUser& user, const std::filesystem::path& path, int mode);

/// Becomes the user, for good. Safe between fork and exec. False with errno set when it is not allowed.
bool become(const UnixUser& user);

}  // namespace intra365::embedded
