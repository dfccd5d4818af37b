#include <gtest/gtest.h>

#include <set>

#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/time.hpp"

namespace intra365 {
namespace {

using namespace std::chrono_literals;

TEST(Time, rfc3339_round_trips_with_and_without_fraction) {
  for (const auto* text : {"2025-10-29T10:00:00Z", "1970-01-01T00:00:00Z", "2026-02-28T23:59:59.000001Z",
                           "2026-01-02T03:04:05.25Z"}) {
    const auto time = parse_rfc3339(text);
    ASSERT_TRUE(time) << text;
    EXPECT_EQ(format_rfc3339(*time), text);
  }
  EXPECT_EQ(format_rfc3339(*parse_rfc3339("2025-10-29T12:30:00+02:30")), "2025-10-29T10:00:00Z");
}

TEST(Time, malformed_times_are_refused) {
  for (const auto* text : {"", "2025-10-29", "2025-13-01T00:00:00Z", "2025-02-30T00:00:00Z",
                           "2025-10-29T24:00:00Z", "2025-10-29T10:00:00", "2025-10-29T10:00:00.Z",
                           "2025-10-29T10:00:00Zx", "-025-10-29T10:00:00Z", "2025-10-29T10:00:00+25:00"}) {
    const auto time = parse_rfc3339(text);
    ASSERT_FALSE(time) << text;
    EXPECT_EQ(time.error().code, "request.bad_time");
  }
}

TEST(Ids, only_subject_tokens_become_ids) {
  EXPECT_TRUE(MateId::parse("image-analyzer_7"));
  for (const auto* text : {"", "a.b", "*", ">", "a b", "a\r\nb", "\xd0\xb0"}) {
    const auto id = MateId::parse(text);
    ASSERT_FALSE(id) << text;
    EXPECT_EQ(id.error().code, "subject.bad_token");
  }
  EXPECT_FALSE(MateId::parse(std::string(65, 'a')));
  EXPECT_TRUE(Scope::parse("profile.read"));
  EXPECT_FALSE(Scope::parse("profile read"));
}

TEST(Ids, uuids_are_version_7_unique_and_ordered) {
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) seen.insert(new_uuid());
  EXPECT_EQ(seen.size(), 1000u);
  EXPECT_EQ((*seen.begin())[14], '7');
  EXPECT_LE(seen.begin()->substr(0, 8), new_uuid().substr(0, 8));
}

TEST(Errors, kinds_and_statuses_are_each_others_inverse) {
  for (int kind = 0; kind <= static_cast<int>(ErrorKind::internal); ++kind) {
    EXPECT_EQ(error_kind(http_status(static_cast<ErrorKind>(kind))), static_cast<ErrorKind>(kind));
  }
  EXPECT_EQ(error_kind(418), ErrorKind::invalid);
}

}  // namespace
}  // namespace intra365
