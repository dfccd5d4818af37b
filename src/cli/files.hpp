// Files that commands read and write.
#pragma once
#include <boost/json/value.hpp>
#include <string>

#include "base/error.hpp"

namespace intra365::cli {

/// The whole of a file, `-` for standard input; at most 64 MiB.
Result<std::string> read_input(const std::string& path);
Result<boost::json::value> read_json(const std::string& path);
/// Replaces a file by one that only its owner may read: what is written is personal.
Result<void> write_private(const std::string& path, const std::string& text);

}  // namespace intra365::cli
