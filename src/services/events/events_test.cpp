#include "services/events/events.hpp"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>

#include "cdc/errors.hpp"

namespace intra365::services::events {
namespace {

using ::testing::HasSubstr;

constexpr auto kTold =
    R"({"tenant":"acme","account":"A1","domain":"consent","type":"granted","data":{"epoch":7},)"
    R"("traceId":"0af7651916cd43dd8448eb211c80319c"})";

Result<std::optional<nats::Outgoing>> told(std::string_view content,
                                           std::string_view prefix = "intra365.event") {
  postgres::pgoutput::Logical message;
  message.transactional = true;
  message.prefix = prefix;
  message.content = content;
  return to_event(message, {{0x64}, Timestamp{}, 7}, "sys.slot.64.1");
}

TEST(ToEvent, what_a_transaction_told_becomes_an_event_of_the_tenant) {
  const auto event = told(kTold);
  ASSERT_TRUE(event && *event);
  EXPECT_EQ((*event)->subject, "acct.A1.intra365.events.consent.granted");
  auto body = boost::json::parse((*event)->payload).as_object();
  const std::string traceparent(body.at("traceparent").as_string());
  EXPECT_EQ(traceparent.size(), 55u);
  EXPECT_THAT(traceparent, ::testing::StartsWith("00-0af7651916cd43dd8448eb211c80319c-"));
  EXPECT_THAT(std::string((*event)->headers.text()), HasSubstr("traceparent: " + traceparent));
  EXPECT_THAT(std::string((*event)->headers.text()), HasSubstr("application/cloudevents+json"));
  body.erase("traceparent");
  EXPECT_EQ(boost::json::value(body), boost::json::parse(R"({
    "specversion":"1.0","id":"sys.slot.64.1","source":"/intra365/acme","type":"intra365.consent.granted",
    "time":"1970-01-01T00:00:00Z","datacontenttype":"application/json","data":{"epoch":7}})"));
}

TEST(ToEvent, is_the_same_whenever_the_log_is_read_again) {
  EXPECT_EQ((*told(kTold))->payload, (*told(kTold))->payload);
}

TEST(ToEvent, what_others_wrote_into_the_log_is_nothing_of_ours) {
  const auto event = told("anything", "others");
  ASSERT_TRUE(event);
  EXPECT_FALSE(*event);
}

TEST(ToEvent, what_is_not_well_formed_is_said_and_never_reaches_a_subject) {
  for (const auto* bad :
       {"", "[]", "{}", R"({"tenant":"acme","account":"A1","domain":"consent","type":"granted"} x)",
        R"({"tenant":"acme","account":"A1.>","domain":"consent","type":"granted","data":{}})",
        R"({"tenant":"acme","account":"A1","domain":"*","type":"granted","data":{}})",
        R"({"tenant":"acme","account":"A1","domain":"consent","type":"","data":{}})"}) {
    const auto event = told(bad);
    ASSERT_FALSE(event) << bad;
    EXPECT_TRUE(event.error().is(cdc::errors::bad_event)) << bad;
  }
}

}  // namespace
}  // namespace intra365::services::events
