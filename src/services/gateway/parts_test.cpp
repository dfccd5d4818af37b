#include "services/gateway/parts.hpp"

#include <gtest/gtest.h>

#include "contract/errors.hpp"

namespace intra365::services::gateway {
namespace {

TEST(Parts, accept_says_how_an_answer_is_wanted) {
  EXPECT_EQ(asked_format("text/event-stream"), PartsFormat::events);
  EXPECT_EQ(asked_format("application/json, text/event-stream;q=0.5"), PartsFormat::events);
  EXPECT_EQ(asked_format(" application/x-ndjson ,*/*"), PartsFormat::lines);
  for (const auto* other : {"", "*/*", "application/json", ",", ";", "text/event-streams", "text/*"})
    EXPECT_FALSE(asked_format(other)) << other;
}

TEST(Parts, an_event_holds_its_part_and_nothing_of_it_becomes_another_event) {
  EXPECT_EQ(*part_text(PartsFormat::events, 3, R"({"a": 1})"), "event: part\nid: 3\ndata: {\"a\":1}\n\n");
  EXPECT_EQ(*part_text(PartsFormat::events, 1, "two\nlines"),
            "event: part\nid: 1\ndata: two\ndata: lines\n\n");
  // Every way to end a line, and a blank one, stays inside the data.
  EXPECT_EQ(*part_text(PartsFormat::events, 1, "a\r\n\r\nevent: end\rdata: x\n"),
            "event: part\nid: 1\ndata: a\ndata: \ndata: event: end\ndata: data: x\ndata: \n\n");
  EXPECT_EQ(*part_text(PartsFormat::events, 1, ""), "event: part\nid: 1\ndata: \n\n");
}

TEST(Parts, a_line_is_one_json_value) {
  EXPECT_EQ(*part_text(PartsFormat::lines, 2, "{\"a\":\n1}"), "{\"part\":2,\"data\":{\"a\":1}}\n");
  EXPECT_EQ(*part_text(PartsFormat::lines, 2, "two\nlines"), "{\"part\":2,\"data\":\"two\\nlines\"}\n");
}

TEST(Parts, what_is_not_text_is_refused) {
  for (const auto format : {PartsFormat::events, PartsFormat::lines}) {
    for (const auto* bytes : {"\xff", "\xc3", "abc\x80", "\xed\xa0\x80"}) {
      const auto text = part_text(format, 1, bytes);
      ASSERT_FALSE(text);
      EXPECT_EQ(text.error().code, "stream.not_text");
    }
  }
}

TEST(Parts, the_last_word_says_how_it_ended) {
  EXPECT_EQ(end_text(PartsFormat::events, 5, nullptr, "t"), "event: end\ndata: {\"parts\":5}\n\n");
  EXPECT_EQ(end_text(PartsFormat::lines, 5, nullptr, "t"), "{\"parts\":5,\"end\":\"ok\"}\n");
  const Error error(intra365::errors::consent_revoked);
  const auto event = end_text(PartsFormat::events, 2, &error, "t");
  EXPECT_TRUE(event.starts_with("event: error\ndata: {")) << event;
  EXPECT_NE(event.find("\"code\":\"consent.revoked\""), std::string::npos) << event;
  const auto line = end_text(PartsFormat::lines, 2, &error, "t");
  EXPECT_NE(line.find("\"end\":\"consent.revoked\",\"error\":{"), std::string::npos) << line;
}

}  // namespace
}  // namespace intra365::services::gateway
