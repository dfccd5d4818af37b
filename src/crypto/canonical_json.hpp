// JSON in its one canonical form (RFC 8785), so that what is signed survives being parsed and printed again.
#pragma once
#include <string>

#include <boost/json/value.hpp>

namespace intra365::crypto {

/// Members in the order of their names' UTF-16 units, no white space, strings escaped no more than JSON
/// demands, numbers as ECMAScript prints them. Integers keep all their digits, also beyond 2^53, where
/// readers in ECMAScript see a neighbour: keep such numbers in strings.
std::string canonical_json(const boost::json::value& value);

}  // namespace intra365::crypto
