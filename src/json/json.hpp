// Described structs <-> JSON <-> JSON Schema. Strict on the way in, compact on the way out.
//
// A struct takes part by BOOST_DESCRIBE_STRUCT(Type, (Bases), (members...)). Members are snake_case in C++
// and camelCase on the wire. Supported members: bool, integers, double, std::string, enums described with
// BOOST_DESCRIBE_ENUM (by enumerator name), Name<Tag> ids, Timestamp (RFC 3339), std::optional (absent or
// null <-> nullopt; left out when empty), std::vector, std::map<std::string, T>, boost::json::value (as it
// stands), and other described structs. A member with a default value in the struct declaration is still
// required unless it is optional, a container or its type is boost::json::value: absent containers are empty.
#pragma once
#include <boost/describe.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace intra365::errors {
inline constexpr ErrorCode malformed_json{ErrorKind::invalid, "request.malformed",
                                          "The body is not one well-formed JSON value in UTF-8."};
inline constexpr ErrorCode unknown_field{ErrorKind::invalid, "request.unknown_field",
                                         "A field of the request is not known; the message names it."};
inline constexpr ErrorCode missing_field{ErrorKind::invalid, "request.missing_field",
                                         "A required field is missing; the message names it."};
inline constexpr ErrorCode wrong_type{ErrorKind::invalid, "request.wrong_type",
                                      "A field has the wrong type or range; the message names it."};
inline constexpr ErrorCode duplicate_field{ErrorKind::invalid, "request.duplicate_field",
                                           "A field stands twice in the same object."};
inline constexpr ErrorCode too_deep{ErrorKind::invalid, "request.too_deep",
                                    "The JSON is nested deeper than 32 levels."};
}  // namespace intra365::errors

namespace intra365::json {

namespace bj = boost::json;

/// How to treat members that the struct does not have.
enum class Unknown { refuse, ignore };

/// Parses one JSON value: at most 32 levels, no duplicate keys, valid UTF-8, nothing behind it.
Result<bj::value> parse(std::string_view text);

/// Reads a described struct from JSON text. Errors name the field by its path (`consents[2].scopes`).
template <class T>
Result<T> decode(std::string_view text, Unknown unknown = Unknown::refuse);
/// The same from a value that is parsed already.
template <class T>
Result<T> from_value(const bj::value& value, Unknown unknown = Unknown::refuse);

/// Writes a described struct as compact JSON, straight into text without a tree between.
template <class T>
std::string encode(const T& value);
template <class T>
void append(std::string& out, const T& value);
/// A tree, for the few places that need to change it.
template <class T>
bj::value to_value(const T& value);

/// JSON Schema (2020-12) of a described struct, nested structs inline; ids carry their pattern.
template <class T>
bj::value schema();

/// `user_id` -> `userId`.
std::string camel_case(std::string_view snake_case);
/// Pretty-printed with two spaces and members in order, for documents in the tree.
std::string pretty(const bj::value& value);

}  // namespace intra365::json

#include "json/detail.hpp"
