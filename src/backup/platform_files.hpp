// What of an embedded platform is not in its database: keys, certificates, accounts. Small, and worthless
// without each other, so they go with every base backup.
#pragma once
#include "backup/sealed_file.hpp"

namespace intra365::backup {

/// Appends the files of `data_dir` to `into` as a tar archive; returns how many there were.
Result<std::size_t> save_platform_files(const fs::path& data_dir, SealedWriter& into);
/// Puts them back below `data_dir`, which holds none of them.
Result<void> restore_platform_files(SealedReader& from, const fs::path& data_dir);

}  // namespace intra365::backup
