// What was typed, as the values that operations take.
#pragma once
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/time.hpp"

namespace intra365::cli {

/// `a,b,c` as names of one kind. Fails with the name's own error.
template <class T>
Result<std::vector<T>> names(const std::string& comma_separated) {
  std::vector<T> list;
  std::istringstream stream(comma_separated);
  for (std::string item; std::getline(stream, item, ',');) {
    TRY(auto name, T::parse(item));
    list.push_back(std::move(name));
  }
  return list;
}

/// None for an option that was not given.
inline std::optional<std::string> given(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

/// The same for a name. Fails with the name's own error.
template <class Id>
Result<std::optional<Id>> given_id(const std::string& text) {
  if (text.empty()) return std::optional<Id>();
  TRY(auto id, Id::parse(text));
  return std::optional<Id>(std::move(id));
}

/// The same for a time, RFC 3339.
inline Result<std::optional<Timestamp>> given_time(const std::string& text) {
  if (text.empty()) return std::optional<Timestamp>();
  TRY(const auto time, parse_rfc3339(text));
  return std::optional<Timestamp>(time);
}

}  // namespace intra365::cli
