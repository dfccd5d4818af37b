// What the functions' files share.
#pragma once
#include "cel/evaluation.hpp"
#include "cel/functions.hpp"

namespace intra365::cel {

using Arguments = std::span<const Value>;

/// Whether the arguments are of these kinds, one by one.
template <class... Kinds>
bool are(Arguments arguments, Kinds... kinds) {
  const Kind wanted[] = {kinds...};
  if (arguments.size() != sizeof...(kinds)) return false;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i].kind != wanted[i]) return false;
  }
  return true;
}

/// The length of a text in characters.
inline std::size_t code_points(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) >> 6) != 2;
  return count;
}

}  // namespace intra365::cel
