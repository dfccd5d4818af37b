// YAML of policy authors, as JSON values.
#pragma once
#include <boost/json/value.hpp>
#include <string_view>

#include "policy/errors.hpp"

namespace intra365::policy {

/// Reads one document of YAML (or JSON, which is YAML) by the core schema: unquoted true, false, null and
/// numbers are what they look like, everything else is text. Fails with `policy.invalid` and line:column for
/// bad syntax, duplicate keys, more than 32 levels, 1 MiB or 200,000 nodes (aliases count each time).
Result<boost::json::value> read_yaml(std::string_view text);

}  // namespace intra365::policy
