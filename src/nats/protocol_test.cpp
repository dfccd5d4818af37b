// Scripts for the parser: bytes in, events out. Every script runs in one piece and split at every byte.
#include "nats/protocol.hpp"

#include <gtest/gtest.h>

namespace intra365::nats::protocol {
namespace {

std::string describe(const Event& event) {
  switch (event.kind) {
    case EventKind::message: {
      const auto& message = event.message;
      std::string text =
          "message " + std::to_string(message.subscription) + " " + std::string(message.subject);
      if (!message.reply.empty()) text += " reply=" + std::string(message.reply);
      if (!message.headers.empty()) text += " headers=" + std::to_string(message.headers.block().size());
      return text + " [" + std::string(message.payload) + "]";
    }
    case EventKind::ping:
      return "ping";
    case EventKind::pong:
      return "pong";
    case EventKind::ok:
      return "ok";
    case EventKind::info:
      return "info " + std::string(event.text);
    case EventKind::error:
      return "error " + std::string(event.text);
  }
  return "?";
}

/// Feeds `input` in pieces of `piece` bytes, as a connection does: what was used leaves the buffer.
std::vector<std::string> play(std::string_view input, std::size_t piece, Limits limits = {}) {
  Parser parser(limits);
  Buffer buffer;
  std::vector<std::string> events;
  while (!input.empty()) {
    buffer.append(input.substr(0, piece));
    input.remove_prefix(std::min(piece, input.size()));
    for (;;) {
      Event event;
      std::size_t used = 0;
      const auto step = parser.next(buffer.view(), event, used);
      if (step == Step::failed) {
        EXPECT_EQ(parser.error().code, "nats.protocol");
        events.push_back("failed: " + parser.error().detail);
        return events;
      }
      if (step == Step::more) {
        EXPECT_GT(parser.needed(), buffer.size()) << "the parser must want more than there is";
        break;
      }
      events.push_back(describe(event));
      buffer.consume(used);
    }
  }
  return events;
}

void expect_script(std::string_view input, const std::vector<std::string>& events, Limits limits = {}) {
  EXPECT_EQ(play(input, input.size(), limits), events) << "in one piece";
  for (std::size_t piece = 1; piece < std::min<std::size_t>(input.size(), 64); ++piece) {
    EXPECT_EQ(play(input, piece, limits), events) << "in pieces of " << piece;
  }
}

TEST(Parser, control_lines_become_events) {
  expect_script("INFO {\"a\":1}\r\nPING\r\nPONG\r\n+OK\r\n-ERR 'Authorization Violation'\r\n",
                {"info {\"a\":1}", "ping", "pong", "ok", "error Authorization Violation"});
}

TEST(Parser, messages_keep_subject_reply_and_payload) {
  expect_script("MSG a.b 9 5\r\nhello\r\nMSG a.b 9 _INBOX.1 0\r\n\r\nPING\r\n",
                {"message 9 a.b [hello]", "message 9 a.b reply=_INBOX.1 []", "ping"});
}

TEST(Parser, headers_and_payload_are_told_apart) {
  expect_script("HMSG a 1 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHMSG a 1 r 16 16\r\nNATS/1.0 503\r\n\r\n\r\n",
                {"message 1 a headers=12 [hi]", "message 1 a reply=r headers=16 []"});
}

TEST(Parser, payload_may_look_like_protocol) {
  expect_script("MSG a 1 12\r\nPING\r\nPONG\r\n\r\nPING\r\n", {"message 1 a [PING\r\nPONG\r\n]", "ping"});
}

TEST(Parser, several_blanks_between_parts_are_taken) {
  expect_script("MSG  a   1  2\r\nhi\r\n", {"message 1 a [hi]"});
}

TEST(Parser, large_subscription_ids_survive) {
  expect_script("MSG a 18446744073709551615 0\r\n\r\n", {"message 18446744073709551615 a []"});
}

TEST(Parser, a_broken_stream_is_a_typed_error) {
  const std::pair<std::string_view, std::string_view> scripts[] = {
      {"HTTP/1.1 400 Bad Request\r\n", "failed: an unknown line: 'HTTP/1.1 400 Bad Request'"},
      {"\r\n", "failed: an unknown line"},
      {"PING\n", "failed: a line does not end in CR LF: 'PING'"},
      {"\n", "failed: a line does not end in CR LF"},
      {"MSG a 1 -1\r\n", "failed: a message line has something that is not a number: 'MSG a 1 -1'"},
      {"MSG a 1 0x10\r\n", "failed: a message line has something that is not a number: 'MSG a 1 0x10'"},
      {"MSG a x 1\r\n", "failed: a message line has something that is not a number: 'MSG a x 1'"},
      {"MSG a 1 99999999999999999999999\r\n",
       "failed: a message line has something that is not a number: 'MSG a 1 99999999999999999999999'"},
      {"MSG a 1 18446744073709551615\r\n",
       "failed: a message is larger than 1000 bytes: 'MSG a 1 18446744073709551615'"},
      {"MSG a 1 1001\r\n", "failed: a message is larger than 1000 bytes: 'MSG a 1 1001'"},
      {"MSG a 1\r\n", "failed: a message line has the wrong number of parts: 'MSG a 1'"},
      {"MSG a 1 r s 2\r\n", "failed: a message line has the wrong number of parts: 'MSG a 1 r s 2'"},
      {"MSG a b c d e f g h\r\n", "failed: a message line has too many parts: 'MSG a b c d e f g h'"},
      {"HMSG a 1 13 12\r\n", "failed: a message has more headers than bytes: 'HMSG a 1 13 12'"},
      {"HMSG a 1 -1 12\r\n", "failed: a message line has something that is not a number: 'HMSG a 1 -1 12'"},
      {"MSG a 1 2\r\nhi!!\r\n", "failed: a message does not end where its size says"},
  };
  for (const auto& [input, failure] : scripts) {
    expect_script(input, {std::string(failure)}, Limits{.max_line_bytes = 100, .max_message_bytes = 1000});
  }
}

TEST(Parser, an_endless_line_ends_at_the_limit) {
  const Limits limits{.max_line_bytes = 100, .max_message_bytes = 1000};
  for (const std::size_t piece : {1u, 7u, 4096u}) {
    const auto events = play(std::string(5000, 'A'), piece, limits);
    ASSERT_EQ(events.size(), 1u);
    EXPECT_TRUE(events[0].starts_with("failed: a line is longer than 100 bytes"));
  }
  EXPECT_EQ(play("INFO " + std::string(94, 'x') + "\r\n", 4096, limits).size(), 1u);
}

TEST(Parser, stays_broken) {
  Parser parser(Limits{});
  Event event;
  std::size_t used = 0;
  EXPECT_EQ(parser.next("nonsense\r\n", event, used), Step::failed);
  EXPECT_EQ(parser.next("PING\r\n", event, used), Step::failed);
}

TEST(Parser, failure_text_is_short_and_printable) {
  const auto events = play("\x01\x02" + std::string(300, 'y') + "\r\n", 4096);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0], "failed: an unknown line: '.." + std::string(46, 'y') + "...'");
}

TEST(Encoder, commands_are_what_the_server_reads) {
  Buffer out;
  append_publish(out, "a.b", {}, {}, "hi");
  append_publish(out, "a.b", "r", {}, "");
  append_publish(out, "a", {}, "NATS/1.0\r\n\r\n", "hi");
  append_publish(out, "a", "r", "NATS/1.0\r\n\r\n", "");
  append_subscribe(out, "a.*", {}, 5);
  append_subscribe(out, "a.>", "q", 6);
  append_unsubscribe(out, 5);
  append_unsubscribe(out, 6, 10);
  EXPECT_EQ(out.view(),
            "PUB a.b 2\r\nhi\r\nPUB a.b r 0\r\n\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\nHPUB a r 12 "
            "12\r\nNATS/1.0\r\n\r\n\r\n"
            "SUB a.* 5\r\nSUB a.> q 6\r\nUNSUB 5\r\nUNSUB 6 10\r\n");
}

TEST(Buffer, keeps_unread_bytes_when_it_moves_and_grows) {
  Buffer buffer;
  std::string expected;
  for (int round = 0; round < 200; ++round) {
    const std::string piece(1000 + round, static_cast<char>('a' + round % 26));
    buffer.append(piece);
    expected += piece;
    buffer.consume(700);
    expected.erase(0, 700);
    ASSERT_EQ(buffer.view(), expected);
  }
  buffer.consume(buffer.size());
  buffer.rewind();
  EXPECT_TRUE(buffer.empty());
}

}  // namespace
}  // namespace intra365::nats::protocol
