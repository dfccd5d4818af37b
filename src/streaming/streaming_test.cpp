#include <gtest/gtest.h>

#include "contract/headers.hpp"
#include "contract/reply.hpp"
#include "nats/test_loop.hpp"
#include "streaming/reader.hpp"
#include "streaming/writer.hpp"
#include "tests/support/servers.hpp"

namespace intra365::streaming {
namespace {

using namespace nats::testing;
using intra365::testing::NatsServer;

constexpr ErrorCode kForbidden{ErrorKind::denied, "test.forbidden", "Not any more."};
const auto kMate = MateId::trusted("teller");
constexpr std::string_view kSubject = "intra365.mate.teller.tell";

/// A Mate `teller` whose handler is given by each test, and a reader on a connection of its own.
class StreamingTest : public ::testing::Test {
 protected:
  using Filling = std::function<Task<>(std::shared_ptr<Writer>)>;

  static NatsServer& server() {
    static NatsServer instance;
    return instance;
  }
  void SetUp() override {
    ASSERT_TRUE(writers.start());
    auto subscribed = host->subscribe(kSubject, [this](const nats::MessageView& request) {
      auto opened = writers.open(request, in(deadline), "trace");
      if (!opened) {
        nats::HeaderBlock block;
        block.add(headers::error_code, std::to_string(http_status(opened.error().kind)));
        static_cast<void>(host->publish(request.reply, error_body(opened.error()), block));
        return;
      }
      writer = *opened;
      ASSERT_TRUE(tasks.spawn(answer(*opened, filling)));
    });
    ASSERT_TRUE(subscribed);
    subscription = *std::move(subscribed);
    ASSERT_TRUE(loop.run(host->flush(in(5s))));
  }
  void TearDown() override { EXPECT_TRUE(loop.run(stop(tasks))); }
  static Task<> stop(TaskGroup& tasks) {
    tasks.cancel();
    co_return co_await tasks.join(in(5s));
  }
  static Task<> answer(std::shared_ptr<Writer> writer, Filling filling) {
    co_return co_await Writer::run(writer, filling(writer));
  }
  Reader open(int window = 16, std::chrono::milliseconds part_timeout = 0ms) {
    ReaderOptions options;
    options.window = window;
    options.part_timeout = part_timeout;
    options.pace = pace;
    auto reader = Reader::open(*client, kMate, kSubject, "go", {}, options);
    EXPECT_TRUE(reader);
    return *std::move(reader);
  }
  /// Reads to the end: the parts, and `ok` or the code.
  std::pair<std::string, std::string> read(Reader& reader) {
    std::string parts;
    while (true) {
      const auto next = loop.run(reader.next());
      if (!next) return {parts, next.error().code};
      if (!*next) return {parts, "ok"};
      parts += **next + " ";
    }
  }

  static constexpr Pace pace{100ms, 1200ms};
  Loop loop;
  std::unique_ptr<nats::Connection> host = loop.connect(server().url()),
                                    client = loop.connect(server().url());
  TaskGroup tasks{loop.io.get_executor(), "test", 16};
  Writers writers{*host, tasks, kMate, pace};
  std::chrono::milliseconds deadline{10'000};
  Filling filling;
  std::shared_ptr<Writer> writer;
  nats::Subscription subscription;
};

Task<> count_to(std::shared_ptr<Writer> writer, int last) {
  for (int i = 1; i <= last; ++i) CO_CHECK(co_await writer->send(std::to_string(i)));
  co_return Result<void>{};
}

TEST_F(StreamingTest, parts_arrive_in_order_and_end) {
  filling = [](auto writer) { return count_to(writer, 100); };
  auto reader = open();
  std::string expected;
  for (int i = 1; i <= 100; ++i) expected += std::to_string(i) + " ";
  EXPECT_EQ(read(reader), std::pair(expected, std::string("ok")));
  EXPECT_EQ(reader.parts(), 100u);
  const auto again = loop.run(reader.next());
  EXPECT_TRUE(again && !*again) << "the end stays the end";
}

TEST_F(StreamingTest, an_answer_may_have_no_part) {
  filling = [](auto writer) { return count_to(writer, 0); };
  auto reader = open();
  EXPECT_EQ(read(reader), std::pair(std::string(), std::string("ok")));
}

TEST_F(StreamingTest, what_the_handler_fails_with_is_the_end) {
  filling = [](auto writer) -> Task<> {
    return [](std::shared_ptr<Writer> to) -> Task<> {
      CO_CHECK(co_await to->send("one"));
      co_return fail(kForbidden);
    }(writer);
  };
  auto reader = open();
  EXPECT_EQ(read(reader), std::pair(std::string("one "), std::string("test.forbidden")));
}

TEST_F(StreamingTest, no_more_is_under_way_than_the_reader_asked_for) {
  filling = [](auto writer) { return count_to(writer, 50); };
  auto reader = open(4);
  ASSERT_TRUE(loop.until([&] { return writer && writer->sent() == 4; }));
  // Heartbeats go on, parts do not, however long the reader takes.
  EXPECT_FALSE(loop.run([](std::shared_ptr<Writer> one) -> Task<> {
    co_await sleep_for(pace.silence + pace.silence / 2);
    co_return one->sent() == 4 ? fail(kForbidden) : Result<void>{};
  }(writer)));
  EXPECT_FALSE(writer->over());
  EXPECT_EQ(read(reader).second, "ok");
  EXPECT_EQ(reader.parts(), 50u);
}

TEST_F(StreamingTest, a_permission_that_ends_ends_the_answer_before_the_next_part) {
  bool allowed = true;
  filling = [&](auto writer) {
    writer->forbid_with([&]() -> Task<> {
      return [](bool allowed) -> Task<> {
        if (!allowed) co_return fail(kForbidden);
        co_return Result<void>{};
      }(allowed);
    });
    return count_to(writer, 1000);
  };
  auto reader = open(2);
  EXPECT_EQ(*loop.run(reader.next()), "1");
  ASSERT_TRUE(loop.until([&] { return writer->sent() >= 2; }));
  allowed = false;
  const auto sent = writer->sent();
  EXPECT_EQ(read(reader).second, "test.forbidden");
  EXPECT_EQ(writer->sent(), sent);
  EXPECT_EQ(reader.parts(), sent);
}

TEST_F(StreamingTest, an_end_from_outside_stops_a_handler_that_waits_for_something_else) {
  bool stopped = false;
  filling = [&](auto writer) -> Task<> {
    return [](std::shared_ptr<Writer> to, bool& stopped) -> Task<> {
      CO_CHECK(co_await to->send("one"));
      try {
        co_await sleep_for(1h);
      } catch (const boost::system::system_error&) {
        stopped = true;
        throw;
      }
      co_return Result<void>{};
    }(writer, stopped);
  };
  auto reader = open();
  EXPECT_EQ(*loop.run(reader.next()), "one");
  writer->end(fail(kForbidden));
  EXPECT_EQ(read(reader), std::pair(std::string(), std::string("test.forbidden")));
  EXPECT_TRUE(loop.until([&] { return stopped; }));
}

TEST_F(StreamingTest, a_handler_whose_answer_is_over_before_it_begins_does_not_begin) {
  bool began = false;
  filling = [&began](auto writer) {
    writer->end(fail(kForbidden));
    return [](bool& began) -> Task<> {
      began = true;
      co_return Result<void>{};
    }(began);
  };
  auto reader = open();
  EXPECT_EQ(read(reader), std::pair(std::string(), std::string("test.forbidden")));
  EXPECT_FALSE(began);
}

TEST_F(StreamingTest, a_reader_that_goes_stops_the_handler) {
  filling = [](auto writer) { return count_to(writer, 1'000'000); };
  {
    auto reader = open();
    EXPECT_EQ(*loop.run(reader.next()), "1");
  }
  ASSERT_TRUE(loop.until([&] { return writer->over(); }));
  EXPECT_EQ(writer->how().error().code, "stream.cancelled");
  EXPECT_TRUE(loop.until([&] { return writers.size() == 0; }));
}

TEST_F(StreamingTest, a_reader_that_lost_its_connection_is_given_up_with_the_next_word) {
  filling = [](auto writer) { return count_to(writer, 1'000'000); };
  auto reader = open();
  EXPECT_EQ(*loop.run(reader.next()), "1");
  client->close();
  ASSERT_TRUE(loop.until([&] { return writer->over(); }));
  EXPECT_EQ(writer->how().error().code, "stream.reader_gone");
}

TEST_F(StreamingTest, a_reader_that_hangs_is_given_up) {
  filling = [](auto writer) { return count_to(writer, 1'000'000); };
  const auto hung = client->subscribe("_INBOX.stream.teller.x", [](const nats::MessageView&) {});
  nats::HeaderBlock block;
  block.add(headers::stream, "8");
  ASSERT_TRUE(hung && client->publish(kSubject, "", block, "_INBOX.stream.teller.x"));
  ASSERT_TRUE(loop.until([&] { return writer && writer->over(); }));
  EXPECT_EQ(writer->how().error().code, "stream.silent");
  EXPECT_EQ(writer->sent(), 8u);
}

TEST_F(StreamingTest, a_mate_that_died_is_given_up) {
  filling = [](auto writer) -> Task<> {
    return [](std::shared_ptr<Writer> to) -> Task<> {
      CO_CHECK(co_await to->send("one"));
      co_await sleep_for(1h);
      co_return Result<void>{};
    }(writer);
  };
  auto reader = open();
  EXPECT_EQ(*loop.run(reader.next()), "one");
  host->close();
  EXPECT_EQ(read(reader).second, "stream.silent");
}

TEST_F(StreamingTest, a_slow_part_and_a_late_answer_have_codes_of_their_own) {
  filling = [](auto) -> Task<> {
    return []() -> Task<> {
      co_await sleep_for(1h);
      co_return Result<void>{};
    }();
  };
  auto slow = open(16, 100ms);
  EXPECT_EQ(read(slow).second, "nats.timeout");
  deadline = 200ms;
  auto late = open();
  EXPECT_EQ(read(late).second, "deadline");
}

TEST_F(StreamingTest, a_lost_part_is_noticed) {
  subscription.unsubscribe();
  auto liar = host->subscribe(kSubject, [this](const nats::MessageView& request) {
    for (const auto* number : {"1", "2", "2", "4"}) {
      nats::HeaderBlock block;
      block.add(headers::stream_part, number);
      static_cast<void>(host->publish(request.reply, number, block, "intra365.mate.teller.stream.x.y"));
    }
  });
  ASSERT_TRUE(liar && loop.run(host->flush(in(5s))));
  auto reader = open();
  EXPECT_EQ(read(reader), std::pair(std::string("1 2 "), std::string("stream.gap")));
}

TEST_F(StreamingTest, a_mate_that_sends_more_than_was_asked_for_is_given_up) {
  subscription.unsubscribe();
  bool cancelled = false;
  const auto control = host->subscribe("intra365.mate.teller.stream.x.y", [&](const nats::MessageView& word) {
    cancelled = cancelled || word.headers.contains(headers::stream_cancel);
  });
  auto flood = host->subscribe(kSubject, [this](const nats::MessageView& request) {
    for (int number = 1; number <= 6; ++number) {
      nats::HeaderBlock block;
      block.add(headers::stream_part, std::to_string(number));
      static_cast<void>(
          host->publish(request.reply, std::to_string(number), block, "intra365.mate.teller.stream.x.y"));
    }
  });
  ASSERT_TRUE(control && flood && loop.run(host->flush(in(5s))));
  auto reader = open(4);
  ASSERT_TRUE(loop.until([&] { return cancelled; })) << "although nobody takes what is there";
  EXPECT_EQ(read(reader), std::pair(std::string("1 2 3 4 "), std::string("stream.window_exceeded")));
}

TEST_F(StreamingTest, an_end_for_which_there_is_no_room_is_said_when_there_is) {
  filling = [](auto writer) -> Task<> {
    return [](std::shared_ptr<Writer> to) -> Task<> {
      CO_CHECK(co_await to->send("one"));
      co_await sleep_for(1h);
      co_return Result<void>{};
    }(writer);
  };
  auto reader = open();
  EXPECT_EQ(*loop.run(reader.next()), "one");
  const std::string ballast(64u << 10, 'x');
  while (host->publish("elsewhere", ballast)) continue;
  writer->end(fail(kForbidden));
  EXPECT_EQ(read(reader).second, "test.forbidden");
}

TEST_F(StreamingTest, an_answer_that_is_not_in_parts_is_one_part) {
  subscription.unsubscribe();
  const auto plain = echo(*host, kSubject);
  ASSERT_TRUE(loop.run(host->flush(in(5s))));
  auto reader = open();
  EXPECT_EQ(read(reader), std::pair(std::string("go "), std::string("ok")));
}

TEST_F(StreamingTest, nobody_there_is_said_at_once) {
  subscription.unsubscribe();
  ASSERT_TRUE(loop.run(host->flush(in(5s))));
  auto reader = open();
  EXPECT_EQ(read(reader).second, "nats.no_responders");
}

TEST_F(StreamingTest, what_does_not_ask_for_parts_is_refused) {
  filling = [](auto writer) { return count_to(writer, 1); };
  for (const auto* window : {"", "0", "65", "-1", "many", "99999999999999999999"}) {
    nats::HeaderBlock block;
    block.add(headers::stream, window);
    const auto reply = loop.run(client->request(kSubject, "", block, in(5s)));
    ASSERT_TRUE(reply);
    EXPECT_NE(reply->payload().find("stream.required"), std::string_view::npos) << window;
  }
  nats::HeaderBlock block;
  block.add(headers::stream, "8");
  const auto reply = loop.run(client->request(kSubject, "", block, in(5s)));
  ASSERT_TRUE(reply);
  EXPECT_NE(reply->payload().find("stream.bad_inbox"), std::string_view::npos);
}

TEST_F(StreamingTest, control_messages_of_any_kind_do_no_harm) {
  filling = [](auto writer) { return count_to(writer, 20); };
  std::string control;
  auto spy = client->subscribe("_INBOX.stream.teller.*",
                               [&](const nats::MessageView& message) { control = message.reply; });
  ASSERT_TRUE(spy);
  auto reader = open(2);
  ASSERT_TRUE(loop.until([&] { return !control.empty(); }));
  for (const auto* taken : {"-3", "18446744073709551615", "x", "", "1e9"}) {
    nats::HeaderBlock block;
    block.add(headers::stream_taken, taken);
    ASSERT_TRUE(client->publish(control, "rubbish", block));
  }
  ASSERT_TRUE(client->publish(control + "x", ""));
  EXPECT_EQ(read(reader).second, "ok");
  EXPECT_EQ(reader.parts(), 20u);
}

}  // namespace
}  // namespace intra365::streaming
