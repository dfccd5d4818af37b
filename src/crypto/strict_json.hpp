// JSON of tokens and key sets, read strictly: one object, no member twice, valid UTF-8, at most 32 levels.
// Internal to this folder, which stands beside src/json and not upon it.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

#include <boost/json/object.hpp>

namespace intra365::crypto {

/// Nullopt for anything that is not exactly one strict JSON object. `text` is bounded by the caller.
std::optional<boost::json::object> parse_strict_object(std::string_view text);

/// The string member `name`; nullptr when it is absent or not a string.
const boost::json::string* string_member(const boost::json::object& object, std::string_view name);
/// The object member `name`; nullptr when it is absent or not an object.
const boost::json::object* object_member(const boost::json::object& object, std::string_view name);
/// The member `name` when it is a whole number from 0 to 2^53.
std::optional<std::int64_t> number_member(const boost::json::object& object, std::string_view name);

}  // namespace intra365::crypto
