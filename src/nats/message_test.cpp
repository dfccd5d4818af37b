#include "nats/message.hpp"

#include <gtest/gtest.h>

#include "nats/connection.hpp"

namespace intra365::nats {
namespace {

TEST(HeaderBlock, formats_once_and_reads_back) {
  HeaderBlock headers;
  EXPECT_TRUE(headers.empty());
  EXPECT_TRUE(headers.add("Authorization", "Bearer x"));
  EXPECT_TRUE(headers.add("Tag", "a"));
  EXPECT_TRUE(headers.add("Tag", "b"));
  EXPECT_EQ(headers.text(), "NATS/1.0\r\nAuthorization: Bearer x\r\nTag: a\r\nTag: b\r\n\r\n");
  const HeaderView view(headers.text());
  EXPECT_EQ(view.get("authorization"), "Bearer x");
  EXPECT_EQ(view.get("TAG"), "a");
  EXPECT_EQ(view.get_all("tag"), (std::vector<std::string_view>{"a", "b"}));
  EXPECT_EQ(view.all().size(), 3u);
  EXPECT_FALSE(view.contains("Tags"));
  EXPECT_EQ(view.status(), 0);
}

TEST(HeaderBlock, refuses_what_could_smuggle_a_header_in) {
  HeaderBlock headers;
  EXPECT_FALSE(headers.add("A", "x\r\nAuthorization: Bearer forged"));
  EXPECT_FALSE(headers.add("A", "x\n"));
  EXPECT_FALSE(headers.add("A\r\nB", "x"));
  EXPECT_FALSE(headers.add("A:B", "x"));
  EXPECT_FALSE(headers.add("A B", "x"));
  EXPECT_FALSE(headers.add("", "x"));
  EXPECT_FALSE(headers.add("A", std::string_view("x\0y", 3)));
  EXPECT_TRUE(headers.empty());
  EXPECT_TRUE(headers.add("A", "grüße, \ttabs and : colons"));
}

TEST(HeaderView, reads_inline_status) {
  const HeaderView no_responders("NATS/1.0 503\r\n\r\n");
  EXPECT_EQ(no_responders.status(), 503);
  EXPECT_EQ(no_responders.status_text(), "");
  const HeaderView heartbeat("NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 3\r\n\r\n");
  EXPECT_EQ(heartbeat.status(), 100);
  EXPECT_EQ(heartbeat.status_text(), "Idle Heartbeat");
  EXPECT_EQ(heartbeat.get("Nats-Last-Consumer"), "3");
}

TEST(HeaderView, a_name_that_begins_like_the_version_is_a_name) {
  HeaderBlock block;
  ASSERT_TRUE(block.add("First", "1"));
  ASSERT_TRUE(block.add("NATS/1.0s", "2"));
  ASSERT_TRUE(block.add("NATS/1.0", "3"));
  const HeaderView view(block.text());
  EXPECT_EQ(view.get("NATS/1.0s"), "2");
  EXPECT_EQ(view.get("NATS/1.0"), "3");
  EXPECT_EQ(view.all().size(), 3u);
  EXPECT_TRUE(HeaderView("NATS/1.0 503 No: Responders\r\n\r\n").all().empty()) << "a status is no header";
}

TEST(HeaderView, garbage_of_another_client_is_harmless) {
  for (const std::string_view block : {"", "\r\n", "NATS/1.0", "NATS/1.0 5", "NATS/1.0 abc\r\n",
                                       "no version\r\nA: b", ":\r\n:\r\n", "\n\n\n", "NATS/1.0\r\nA"}) {
    const HeaderView view(block);
    EXPECT_EQ(view.status(), 0) << block;
    EXPECT_EQ(view.get("Z"), "");
    (void)view.all();
    (void)view.status_text();
  }
  EXPECT_EQ(HeaderView("NATS/1.0\r\nA:  b \r\n").get("a"), "b");
}

TEST(Message, owns_what_the_view_showed) {
  Message message;
  {
    const std::string subject = "a.b", reply = "r", headers = "NATS/1.0\r\nX: 1\r\n\r\n", payload = "body";
    message = Message(MessageView{subject, reply, HeaderView(headers), payload, 7});
  }
  const Message copy = message;
  EXPECT_EQ(copy.subject(), "a.b");
  EXPECT_EQ(copy.reply(), "r");
  EXPECT_EQ(copy.headers().get("x"), "1");
  EXPECT_EQ(copy.payload(), "body");
}

TEST(Subject, literal_subjects_have_tokens_and_no_wildcards) {
  for (const auto* good : {"a", "a.b.c", "$SRV.PING", "_INBOX.x.y", "a*b", "ä.ö", "a-b_c"})
    EXPECT_TRUE(is_publish_subject(good)) << good;
  for (const auto* bad : {"", ".", "a.", ".a", "a..b", "a b", "a\tb", "a\r\nPING", "*", "a.*", ">", "a.>"})
    EXPECT_FALSE(is_publish_subject(bad)) << bad;
}

TEST(Subject, wildcards_are_whole_tokens_and_the_rest_comes_last) {
  for (const auto* good : {"a", "*", ">", "a.*.b", "a.>", "*.>", "a>b"})
    EXPECT_TRUE(is_subscribe_subject(good)) << good;
  for (const auto* bad : {"", "a.>.b", ">.a", "a..>", "a. >", "a.\n"})
    EXPECT_FALSE(is_subscribe_subject(bad)) << bad;
}

TEST(Subject, patterns_cover_what_the_server_would_deliver) {
  EXPECT_TRUE(matches("a.b", "a.b"));
  EXPECT_TRUE(matches("a.*", "a.b"));
  EXPECT_TRUE(matches("a.>", "a.b.c"));
  EXPECT_TRUE(matches(">", "a"));
  EXPECT_FALSE(matches("a.>", "a"));
  EXPECT_FALSE(matches("a.*", "a.b.c"));
  EXPECT_FALSE(matches("a.b", "a.c"));
  EXPECT_FALSE(matches("a.b.c", "a.b"));
  EXPECT_FALSE(matches("a", "ab"));
}

}  // namespace
}  // namespace intra365::nats
