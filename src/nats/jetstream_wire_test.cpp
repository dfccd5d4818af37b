// The JetStream wire format without a server.
#include "nats/jetstream_wire.hpp"

#include <gtest/gtest.h>

#include <boost/json.hpp>

namespace intra365::nats {
namespace {

namespace json = boost::json;

TEST(JetStreamWire, ack_subject_is_read_in_its_short_form) {
  const auto delivery = wire::parse_ack_subject("$JS.ACK.orders.worker.2.71.14.1700000000000000001.5");
  ASSERT_TRUE(delivery);
  EXPECT_EQ(delivery->delivered, 2u);
  EXPECT_EQ(delivery->stream_sequence, 71u);
  EXPECT_EQ(delivery->consumer_sequence, 14u);
  EXPECT_EQ(delivery->timestamp_ns, 1700000000000000001u);
  EXPECT_EQ(delivery->pending, 5u);
}

TEST(JetStreamWire, ack_subject_is_read_with_domain_and_account_in_front) {
  for (const auto* subject : {"$JS.ACK.hub.ACCHASH.orders.worker.1.7.3.1700000000.0",
                              "$JS.ACK._.ACCHASH.orders.worker.1.7.3.1700000000.0.random",
                              "$JS.ACK._.ACCHASH.orders.worker.1.7.3.1700000000.0.random.later"}) {
    const auto delivery = wire::parse_ack_subject(subject);
    ASSERT_TRUE(delivery) << subject;
    EXPECT_EQ(delivery->stream_sequence, 7u);
    EXPECT_EQ(delivery->consumer_sequence, 3u);
    EXPECT_EQ(delivery->pending, 0u);
  }
}

TEST(JetStreamWire, other_subjects_are_no_ack_subjects) {
  for (const auto* subject :
       {"", ".", "$JS.ACK", "_INBOX.a.b", "$JS.ACK.s.c.1.2.3.4", "$JS.ACK.s.c.1.2.3.4.5.6",
        "$JS.ACK.s.c.1.x.3.4.5", "$JS.ACK.s.c.1.-2.3.4.5", "$JS.ACK.s.c.1..3.4.5",
        "$JS.ACK.s.c.1.99999999999999999999.3.4.5", "$JS.NAK.s.c.1.2.3.4.5", "........"}) {
    EXPECT_FALSE(wire::parse_ack_subject(subject)) << subject;
  }
}

TEST(JetStreamWire, errors_mean_what_a_caller_can_do) {
  const auto of = [](std::string_view payload) { return wire::decode_reply(payload).error(); };
  EXPECT_TRUE(of(R"({"error":{"code":404,"err_code":10059,"description":"stream not found"}})")
                  .is(errors::not_found));
  EXPECT_TRUE(of(R"({"error":{"code":400,"err_code":10071,"description":"wrong last sequence: 3"}})")
                  .is(errors::wrong_revision));
  EXPECT_TRUE(of(R"({"error":{"code":400,"err_code":10164,"description":"wrong last sequence"}})")
                  .is(errors::wrong_revision));
  EXPECT_TRUE(of(R"({"error":{"code":400,"err_code":10058,"description":"in use"}})").is(errors::exists));
  const auto unavailable = of(R"({"error":{"code":503,"err_code":10008,"description":"temporarily"}})");
  EXPECT_TRUE(unavailable.is(errors::jetstream_unavailable));
  EXPECT_EQ(unavailable.kind, ErrorKind::unavailable);
  const auto other = of(R"({"error":{"code":400,"err_code":10025,"description":"invalid JSON"}})");
  EXPECT_TRUE(other.is(errors::jetstream));
  EXPECT_EQ(other.detail, "invalid JSON (err_code 10025)");
  EXPECT_TRUE(wire::has_err_code(other, 10025));
  EXPECT_FALSE(wire::has_err_code(other, 25));
}

TEST(JetStreamWire, replies_that_jetstream_never_gives_are_errors) {
  for (const auto* payload : {"", "{", "[]", "1", "null", "+OK", "{\"a\":1} x"})
    EXPECT_TRUE(wire::decode_reply(payload).error().is(errors::bad_reply)) << payload;
  // Somebody else answered on the subject: nothing was stored.
  EXPECT_TRUE(wire::decode_publish_ack(R"({"answer":42})").error().is(errors::bad_reply));
  EXPECT_TRUE(wire::decode_publish_ack(R"({"stream":"s","seq":-1})").error().is(errors::bad_reply));
  const auto deep = std::string(100'000, '[');
  EXPECT_FALSE(wire::decode_reply(deep));
}

TEST(JetStreamWire, stream_configuration_has_the_server_s_field_names) {
  StreamConfig config;
  config.name = "orders";
  config.allow_rollup_hdrs = true;
  config.max_age = std::chrono::seconds(10);
  const auto encoded = wire::encode(config);
  EXPECT_EQ(
      json::serialize(encoded),
      R"({"name":"orders","description":"","subjects":["orders"],"retention":"limits","storage":"file",)"
      R"("discard":"old","max_msgs_per_subject":-1,"max_age":10000000000,)"
      R"("duplicate_window":10000000000,"allow_direct":true,"allow_rollup_hdrs":true,)"
      R"("deny_delete":false})");
}

TEST(JetStreamWire, overlay_finds_differences_and_keeps_what_it_does_not_know) {
  StreamConfig config;
  config.name = "orders";
  config.subjects = {"orders.>"};
  auto current = wire::encode(config);
  // As the server answers: defaults left out, more fields than we send.
  current.erase("description");
  current.erase("deny_delete");
  current.erase("allow_rollup_hdrs");
  current["compression"] = "s2";
  current["max_consumers"] = -1;
  EXPECT_FALSE(wire::overlay(current, wire::encode(config)));
  config.subjects.push_back("returns.>");
  config.allow_atomic = true;
  EXPECT_TRUE(wire::overlay(current, wire::encode(config)));
  EXPECT_EQ(current["subjects"].as_array().size(), 2u);
  EXPECT_EQ(current["allow_atomic"], true);
  EXPECT_EQ(current["compression"], "s2");
  EXPECT_FALSE(wire::overlay(current, wire::encode(config)));
}

TEST(JetStreamWire, what_an_operator_chooses_is_changed_only_by_who_names_it) {
  StreamConfig config;
  config.name = "orders";
  auto current = wire::encode(config);
  current["max_bytes"] = 1 << 20;
  current["max_msgs"] = 1000;
  current["num_replicas"] = 3;
  EXPECT_FALSE(wire::overlay(current, wire::encode(config)));
  config.max_bytes = 0;
  config.num_replicas = 1;
  EXPECT_TRUE(wire::overlay(current, wire::encode(config)));
  EXPECT_EQ(current["max_bytes"], -1) << "none";
  EXPECT_EQ(current["max_msgs"], 1000);
  EXPECT_EQ(current["num_replicas"], 1);
}

TEST(JetStreamWire, stored_message_is_decoded_from_base64) {
  const auto reply = json::parse(
      R"({"message":{"subject":"a.b","seq":7,"hdrs":"TkFUUy8xLjANCktWLU9wZXJhdGlvbjogREVMDQoNCg==","data":"/+8="}})");
  const auto stored = wire::decode_stored(reply.as_object());
  ASSERT_TRUE(stored);
  EXPECT_EQ(stored->sequence, 7u);
  EXPECT_EQ(stored->message.subject(), "a.b");
  EXPECT_EQ(stored->message.headers().get("KV-Operation"), "DEL");
  EXPECT_EQ(stored->message.payload(), "\xff\xef");
  const auto broken = json::parse(R"({"message":{"subject":"a","seq":1,"data":"***"}})");
  EXPECT_TRUE(wire::decode_stored(broken.as_object()).error().is(errors::bad_reply));
}

TEST(JetStreamWire, names_are_single_safe_tokens) {
  EXPECT_TRUE(wire::is_name("KV_consents-1"));
  for (const auto* name : {"", "a.b", "a b", "a*", ">", "a/b", "\r\n"})
    EXPECT_FALSE(wire::is_name(name)) << name;
  EXPECT_FALSE(wire::is_name(std::string(129, 'a')));
}

}  // namespace
}  // namespace intra365::nats
