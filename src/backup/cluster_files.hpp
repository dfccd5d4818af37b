// The files of a base backup, put back and compared with the manifest that PostgreSQL made of them.
#pragma once
#include "backup/repository.hpp"

namespace intra365::backup {

/// Writes the cluster's files below `folder`. Fails with `backup.damaged` unless every file of the manifest
/// comes out with its size and its SHA-256.
Result<void> extract_cluster(const Repository& repository, const Base& base, const fs::path& folder);

}  // namespace intra365::backup
