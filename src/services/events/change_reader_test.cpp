#include "services/events/change_reader.hpp"

#include <gtest/gtest.h>

namespace intra365::services::events {
namespace {

TEST(ChangesCursor, reads_what_it_has_written_and_nothing_else) {
  const ChangesCursor cursor{42, "2026-11-26T10:00:00.000000001Z"};
  const auto read = ChangesCursor::parse(cursor.text());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->sequence, 42u);
  EXPECT_EQ(read->stream, cursor.stream);
  for (const auto* wrong : {"", "~", "x~y", "-1~y", "42", "42x~y", "99999999999999999999~y"})
    EXPECT_TRUE(ChangesCursor::parse(wrong).error().is(errors::bad_cursor)) << wrong;
}

}  // namespace
}  // namespace intra365::services::events
