// What the stream says besides rows, to those who follow it.
#pragma once
#include <string>
#include <string_view>

namespace intra365::cdc {

/// `gap`, `snapshot.begin` or `snapshot.end` for the subject of such a mark; empty for any other. At a gap
/// and at the beginning of a snapshot a follower forgets what it knew.
inline std::string_view mark_of(std::string_view subject, std::string_view prefix, std::string_view slot) {
  constexpr std::string_view kMarks[] = {"gap", "snapshot.begin", "snapshot.end"};
  for (const auto mark : kMarks) {
    if (subject.size() == prefix.size() + mark.size() + slot.size() + 2 && subject.starts_with(prefix) &&
        subject.ends_with(slot) && subject.substr(prefix.size() + 1, mark.size()) == mark)
      return mark;
  }
  return {};
}

}  // namespace intra365::cdc
