// How far a place is from UTC at a moment.
#pragma once
#include <cstdint>
#include <string_view>

namespace intra365::cel {

/// Seconds east of UTC for an IANA name, from the machine's zone files, or for a fixed offset (`+02:30`,
/// `-09:30`, `02:00`). False where there is no such zone.
bool utc_offset(std::string_view zone, std::int64_t at, std::int64_t& seconds);

}  // namespace intra365::cel
