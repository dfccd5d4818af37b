// The accounts of platform/accounts.hpp on a real server in operator mode: who reaches whom, and who does
// not.
#include <gmock/gmock.h>

#include "contract/catalog.hpp"
#include "contract/subjects.hpp"
#include "embedded/nats_test_support.hpp"

namespace intra365::embedded {
namespace {

using ::testing::ElementsAre;

/// Subjects in the order in which they came.
struct Listener {
  std::vector<std::string> heard;
  nats::Subscription subscription;
  Listener(nats::Connection& connection, const std::string& subject) {
    subscription =
        connection
            .subscribe(subject,
                       [this](const nats::MessageView& message) { heard.emplace_back(message.subject); })
            .value();
  }
};

TEST_F(EmbeddedNats, tenant_reaches_every_service_and_the_service_sees_its_key) {
  const auto tenant = make_tenant("acme");
  const auto mate = user_of(tenant);
  for (const auto service : service_names()) {
    const auto subject = "intra365." + std::string(service) + ".some.thing";
    const auto seen = serve("acct.*.intra365." + std::string(service) + ".>");
    EXPECT_EQ(ask(*mate, subject), "acct." + tenant.key() + "." + subject);
  }
}

TEST_F(EmbeddedNats, tenant_cannot_speak_as_another_nor_with_the_platforms_own_subjects) {
  const auto tenant = make_tenant("acme"), other = make_tenant("umbrella");
  const auto served = serve("acct.*.intra365.consent.>");
  const auto mate = user_of(tenant);
  EXPECT_EQ(ask(*mate, "acct." + other.key() + ".intra365.consent.verify"), "nats.no_responders");
  EXPECT_EQ(ask(*mate, "acct.platform.intra365.consent.verify"), "nats.no_responders");
  EXPECT_EQ(ask(*mate, "acct." + tenant.key() + ".intra365.consent.verify"), "nats.no_responders");

  // Even an account whose signed claims name another's key gets nothing through.
  TestAccount thief;
  auto claims =
      platform::tenant_account("thief", thief.key(), thief.signing.public_key(), keys.public_keys.platform);
  for (auto& import : claims.imports)
    import.subject.replace(import.subject.find(thief.key()), thief.key().size(), tenant.key());
  push(claims);
  const auto stranger = user_of(thief);
  EXPECT_EQ(ask(*stranger, "intra365.consent.verify"), "nats.no_responders");
}

TEST_F(EmbeddedNats, feeds_reach_the_tenant_they_are_for_and_no_other) {
  const auto tenant = make_tenant("acme"), other = make_tenant("umbrella");
  const auto mate = user_of(tenant), stranger = user_of(other);
  Listener heard(*mate, "intra365.>"), overheard(*stranger, ">");
  flush(*mate);
  flush(*stranger);
  for (const std::string subject : {"intra365.events.consent.revoked", "intra365.guard.policy"}) {
    ASSERT_TRUE(platform->publish("acct." + tenant.key() + "." + subject, "{}"));
  }
  // The last word to the other tenant shows that nothing came before it.
  ASSERT_TRUE(platform->publish("acct." + other.key() + ".intra365.events.end", "{}"));
  ASSERT_TRUE(run_until(loop, [&] { return heard.heard.size() == 2 && !overheard.heard.empty(); }));
  EXPECT_THAT(heard.heard, ElementsAre("intra365.events.consent.revoked", "intra365.guard.policy"));
  EXPECT_THAT(overheard.heard, ElementsAre("intra365.events.end"));
}

TEST_F(EmbeddedNats, tenant_cannot_forge_events_for_the_platform_or_itself) {
  const auto tenant = make_tenant("acme"), other = make_tenant("umbrella");
  const auto mate = user_of(tenant), stranger = user_of(other);
  Listener at_platform(*platform, "acct.>"), at_other(*stranger, ">");
  flush(*platform);
  flush(*stranger);
  ASSERT_TRUE(mate->publish("acct." + other.key() + ".intra365.events.forged", "{}"));
  ASSERT_TRUE(mate->publish("intra365.events.forged", "{}"));
  flush(*mate);
  ASSERT_TRUE(platform->publish("acct." + other.key() + ".intra365.events.end", "{}"));
  ASSERT_TRUE(run_until(loop, [&] { return !at_other.heard.empty() && !at_platform.heard.empty(); }));
  EXPECT_THAT(at_other.heard, ElementsAre("intra365.events.end"));
  EXPECT_THAT(at_platform.heard, ElementsAre("acct." + other.key() + ".intra365.events.end"));
}

TEST_F(EmbeddedNats, tenant_pushed_at_run_time_is_still_there_after_a_restart) {
  const auto tenant = make_tenant("acme");
  stop();
  start();
  const auto mate = user_of(tenant);
  const auto served = serve("acct.*.intra365.registry.>");
  EXPECT_EQ(ask(*mate, "intra365.registry.discover"), "acct." + tenant.key() + ".intra365.registry.discover");
}

TEST_F(EmbeddedNats, guest_account_reaches_the_token_request_and_nothing_else) {
  TestAccount guests;
  push(platform::guest_account("guest-1", guests.key(), guests.signing.public_key(),
                               keys.public_keys.platform));
  const auto served_auth = serve("acct.*.intra365.auth.>"),
             served_consent = serve("acct.*.intra365.consent.>");
  const auto guest = user_of(guests);
  EXPECT_EQ(ask(*guest, "intra365.auth.token.request"),
            "acct." + guests.key() + ".intra365.auth.token.request");
  EXPECT_EQ(ask(*guest, "intra365.auth.token.validate"), "nats.no_responders");
  EXPECT_EQ(ask(*guest, "intra365.consent.verify"), "nats.no_responders");
}

}  // namespace
}  // namespace intra365::embedded
