// Writes the contract into the tree: OpenAPI, AsyncAPI, the error list, the metrics list. What changes there
// is a change for users, seen in the diff.
#pragma once
#include <filesystem>

namespace intra365::app {

/// Returns the exit code. With `check`, writes nothing and fails where the tree is out of date.
int generate(const std::filesystem::path& directory, bool check);

}  // namespace intra365::app
