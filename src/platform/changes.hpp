// The names of the change stream that the role `events` keeps, for services that follow it.
#pragma once
#include <string_view>

namespace intra365::platform {

inline constexpr std::string_view changes_slot = "intra365_changes";
inline constexpr std::string_view changes_publication = "intra365_changes";

}  // namespace intra365::platform
