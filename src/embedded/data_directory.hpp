// The directory that holds a platform: one program at a time, of one owner, in a layout that this version
// knows.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "embedded/errors.hpp"
#include "embedded/paths.hpp"

namespace intra365::embedded {

/// Number in the file `version`; raised when an older program could not use the directory any more.
inline constexpr int data_layout = 1;
/// Below this much free space nothing is started.
inline constexpr std::uintmax_t min_free_bytes = 128u << 20;

/// Held open as long as the platform runs; what it holds is the lock. Movable.
class DataDirectory {
 public:
  /// Makes the directory or takes the one that is there, locks it, checks owner, layout and free space, and
  /// removes an endpoints.json that a crash left behind. A directory that was begun and not finished is
  /// taken over: everything in it is made in steps that are repeated or complete. Fails with data.locked,
  /// data.newer_version, data.not_ours, data.other_user, data.disk_full or data.unwritable.
  static Result<DataDirectory> open(const std::filesystem::path& path);
  DataDirectory(DataDirectory&& other) noexcept
      : paths_(other.paths_), lock_(std::exchange(other.lock_, -1)) {}
  DataDirectory& operator=(DataDirectory&&) = delete;
  /// Lets go of the lock.
  ~DataDirectory();

  const Paths& paths() const { return paths_; }

  /// Writes endpoints.json, mode 0600: clients may use what stands in it.
  Result<void> write_endpoints(std::string_view json) const;
  void remove_endpoints() const;

 private:
  DataDirectory(Paths paths, int lock) : paths_(std::move(paths)), lock_(lock) {}
  Paths paths_;
  int lock_;
};

/// $XDG_DATA_HOME/intra365, or ~/.local/share/intra365.
std::filesystem::path default_data_directory();

/// The process that runs a platform in this directory now; 0 when none does.
int running_in(const std::filesystem::path& path);

}  // namespace intra365::embedded
