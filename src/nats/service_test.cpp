#include "nats/service.hpp"

#include <gtest/gtest.h>

#include <boost/json/parse.hpp>

#include "nats/test_loop.hpp"
#include "tests/support/servers.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;
namespace bj = boost::json;

/// Endpoint 0 doubles the payload, 1 refuses, 2 throws, 3 waits until it is cancelled or `release` is set.
struct Behaviour {
  std::shared_ptr<asio::steady_timer> gate;
  ServiceAnswer operator()(const MessageView& request, std::size_t endpoint) const {
    return answer(gate, endpoint, std::string(request.payload));
  }
  static asio::awaitable<ServiceReply> answer(std::shared_ptr<asio::steady_timer> gate, std::size_t endpoint,
                                              std::string payload) {
    ServiceReply reply;
    if (endpoint == 0) reply.payload = payload + payload;
    if (endpoint == 1) reply = ServiceReply{"{\"error\":{}}", 404, "not\r\nfound"};
    if (endpoint == 2) throw std::runtime_error("secret detail");
    if (endpoint == 3) {
      boost::system::error_code ignored;
      co_await gate->async_wait(asio::redirect_error(asio::use_awaitable, ignored));
      reply.payload = "released";
    }
    co_return reply;
  }
};

class ServiceTest : public ::testing::Test {
 protected:
  static NatsServer& server() {
    static NatsServer instance;
    return instance;
  }
  static ServiceConfig config() {
    ServiceConfig config;
    config.name = "maths";
    config.version = "1.2.3";
    config.description = "calculates";
    config.metadata = {{"team", "blue"}};
    config.endpoints = {{"double", "maths.double", "q", {{"unit", "none"}}},
                        {"refuse", "maths.refuse"},
                        {"throw", "maths.throw", ""},
                        {"wait", "maths.*.wait"}};
    return config;
  }
  void SetUp() override {
    const auto started = service->start();
    ASSERT_TRUE(started) << started.error().detail;
    ASSERT_TRUE(loop.run(host->flush(in(5s))));
  }
  bj::object discover(std::string_view subject) {
    const auto replies = loop.run(client->request_many(subject, "", {}, in(5s), 1, 1000ms));
    EXPECT_TRUE(replies && replies->size() == 1) << subject;
    if (!replies || replies->empty()) return {};
    return bj::parse(std::string((*replies)[0].payload())).as_object();
  }

  Loop loop;
  std::unique_ptr<Connection> host = loop.connect(server().url()), client = loop.connect(server().url());
  std::shared_ptr<asio::steady_timer> gate = std::make_shared<asio::steady_timer>(loop.io, SteadyTime::max());
  std::unique_ptr<Service> service = std::make_unique<Service>(*host, config(), Behaviour{gate});
};

TEST_F(ServiceTest, answers_requests_and_marks_errors_in_headers) {
  EXPECT_EQ(loop.run(client->request("maths.double", "ab", {}, in(5s)))->payload(), "abab");
  const auto refused = loop.run(client->request("maths.refuse", "", {}, in(5s)));
  EXPECT_EQ(refused->headers().get("Nats-Service-Error-Code"), "404");
  EXPECT_EQ(refused->headers().get("Nats-Service-Error"), "not  found");
  EXPECT_EQ(refused->payload(), "{\"error\":{}}");
  const auto thrown = loop.run(client->request("maths.throw", "", {}, in(5s)));
  EXPECT_EQ(thrown->headers().get("Nats-Service-Error-Code"), "500");
  EXPECT_EQ(thrown->payload().find("secret"), std::string_view::npos);
}

TEST_F(ServiceTest, discovery_has_the_exact_fields_on_all_nine_subjects) {
  for (const std::string verb : {"PING", "INFO", "STATS"}) {
    for (const auto& suffix : {std::string(), std::string(".maths"), ".maths." + service->id()}) {
      const auto document = discover("$SRV." + verb + suffix);
      const std::string kind = verb == "PING" ? "ping" : verb == "INFO" ? "info" : "stats";
      EXPECT_EQ(document.at("type").as_string(), "io.nats.micro.v1." + kind + "_response");
      EXPECT_EQ(document.at("name"), "maths");
      EXPECT_EQ(document.at("id").as_string(), service->id());
      EXPECT_EQ(document.at("version"), "1.2.3");
      EXPECT_EQ(document.at("metadata").at("team"), "blue");
    }
  }
  EXPECT_EQ(service->id().size(), 22u);
  const auto info = discover("$SRV.INFO.maths");
  EXPECT_EQ(info.at("description"), "calculates");
  EXPECT_EQ(bj::serialize(info.at("endpoints").at(0)),
            R"({"name":"double","subject":"maths.double","queue_group":"q","metadata":{"unit":"none"}})");
  EXPECT_EQ(bj::serialize(info.at("endpoints").at(2)),
            R"({"name":"throw","subject":"maths.throw","queue_group":"","metadata":{}})");
}

TEST_F(ServiceTest, statistics_count_requests_errors_and_nanoseconds) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(loop.run(client->request("maths.double", "x", {}, in(5s))));
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(loop.run(client->request("maths.refuse", "", {}, in(5s))));
  const auto stats = discover("$SRV.STATS.maths." + service->id());
  const auto& doubled = stats.at("endpoints").at(0).as_object();
  EXPECT_EQ(doubled.at("num_requests"), 3);
  EXPECT_EQ(doubled.at("num_errors"), 0);
  EXPECT_GT(doubled.at("processing_time").to_number<std::int64_t>(), 0);
  EXPECT_EQ(doubled.at("average_processing_time").to_number<std::int64_t>(),
            doubled.at("processing_time").to_number<std::int64_t>() / 3);
  EXPECT_FALSE(doubled.contains("last_error"));
  const auto& refused = stats.at("endpoints").at(1).as_object();
  EXPECT_EQ(refused.at("num_errors"), 2);
  EXPECT_EQ(refused.at("last_error"), "404:not  found");
  EXPECT_TRUE(parse_rfc3339(std::string(stats.at("started").as_string())));
}

TEST_F(ServiceTest, beyond_its_limit_it_says_busy_at_once) {
  auto narrow = config();
  narrow.name = "narrow";
  narrow.endpoints = {
      {"wait", "narrow.wait"}, {"a", "narrow.a"}, {"b", "narrow.b"}, {"wait2", "narrow.wait2"}};
  narrow.max_in_flight = 1;
  Service small(*host, narrow, Behaviour{gate});
  ASSERT_TRUE(small.start());
  ASSERT_TRUE(loop.run(host->flush(in(5s))));
  std::optional<std::string> first;
  client->async_request("narrow.wait2", "", {}, in(20s), [&](Result<MessageView> reply) {
    first = reply ? std::string(reply->payload) : reply.error().code;
  });
  ASSERT_TRUE(loop.until([&] { return small.in_flight() == 1; }));
  const auto busy = loop.run(client->request("narrow.wait2", "", {}, in(5s)));
  EXPECT_EQ(busy->headers().get("Nats-Service-Error-Code"), "429");
  EXPECT_EQ(bj::parse(std::string(busy->payload())).at("error").at("code"), "service.busy");
  gate->cancel();
  ASSERT_TRUE(loop.until([&] { return first.has_value(); }));
  EXPECT_EQ(*first, "released");
  EXPECT_EQ(small.in_flight(), 0u);
}

TEST_F(ServiceTest, drain_answers_what_is_in_flight_and_then_nobody_is_there) {
  std::optional<std::string> first;
  client->async_request("maths.x.wait", "", {}, in(20s), [&](Result<MessageView> reply) {
    first = reply ? std::string(reply->payload) : reply.error().code;
  });
  ASSERT_TRUE(loop.until([&] { return service->in_flight() == 1; }));
  std::optional<Result<void>> drained;
  asio::co_spawn(loop.io, service->drain(in(10s)),
                 [&](std::exception_ptr, Result<void> result) { drained = std::move(result); });
  ASSERT_TRUE(loop.run(host->flush(in(5s))));
  EXPECT_FALSE(drained);
  EXPECT_EQ(loop.run(client->request("maths.double", "", {}, in(5s))).error().code, "nats.no_responders");
  gate->cancel();
  ASSERT_TRUE(loop.until([&] { return drained && first; }));
  EXPECT_TRUE(*drained) << drained->error().detail;
  EXPECT_EQ(*first, "released");
  EXPECT_EQ(loop.run(client->request("$SRV.PING.maths", "", {}, in(5s))).error().code, "nats.no_responders");
}

TEST_F(ServiceTest, drain_cancels_what_does_not_end) {
  client->async_request("maths.x.wait", "", {}, in(20s), [](Result<MessageView>) {});
  ASSERT_TRUE(loop.until([&] { return service->in_flight() == 1; }));
  EXPECT_EQ(loop.run(service->drain(in(30ms))).error().code, "nats.timeout");
  EXPECT_EQ(service->in_flight(), 0u);
}

TEST_F(ServiceTest, service_that_goes_with_work_in_flight_leaves_nothing_behind) {
  client->async_request("maths.x.wait", "", {}, in(20s), [](Result<MessageView>) {});
  ASSERT_TRUE(loop.until([&] { return service->in_flight() == 1; }));
  service.reset();
  EXPECT_TRUE(loop.run(host->flush(in(5s))));
  EXPECT_EQ(gate.use_count(), 1) << "its handler is gone";
}

TEST_F(ServiceTest, malformed_declarations_are_refused) {
  const auto code = [&](auto change) {
    auto declared = config();
    change(declared);
    const auto started = Service(*host, declared, Behaviour{gate}).start();
    return started ? "" : started.error().code;
  };
  EXPECT_EQ(code([](ServiceConfig& c) { c.name = "a b"; }), "service.malformed");
  EXPECT_EQ(code([](ServiceConfig& c) { c.version = "1.2"; }), "service.malformed");
  EXPECT_EQ(code([](ServiceConfig& c) { c.version = "1.2.3-rc.1+5"; }), "");
  EXPECT_EQ(code([](ServiceConfig& c) { c.endpoints[0].name = ""; }), "service.malformed");
  EXPECT_EQ(code([](ServiceConfig& c) { c.endpoints[0].subject = "a b"; }), "nats.bad_subject");
}

}  // namespace
}  // namespace intra365::nats
