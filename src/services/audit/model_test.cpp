#include "services/audit/model.hpp"

#include <gtest/gtest.h>

#include "postgres/sqlstate.hpp"
#include "services/audit/ingest.hpp"

namespace intra365::services::audit {
namespace {

using intra365::audit::Entry;
using namespace std::chrono_literals;

const Timestamp now = *parse_rfc3339("2026-11-23T10:00:00Z");

Entry entry() {
  Entry one;
  one.entry_id = "e1";
  one.at = now;
  one.actor = "mate:assistant";
  one.action = "call";
  one.resource = "mate:analyzer/image-analysis/analyze";
  one.outcome = "allowed";
  one.code = "consent.expired";
  one.trace_id = "4bf92f3577b34da6a3ce929d0e0e4736";
  return one;
}

template <class Change>
bool accepted(Change change) {
  auto one = entry();
  change(one);
  const auto checked = check_entry(one, "analyzer", now);
  if (!checked) EXPECT_EQ(checked.error().code, "request.bad_value");
  return checked.has_value();
}

const std::string zero("a\0b", 3);

TEST(CheckEntry, takes_what_an_enforcement_point_records) {
  EXPECT_TRUE(accepted([](Entry&) {}));
  EXPECT_TRUE(accepted([](Entry& e) { e.action = "data.access", e.outcome = "failed", e.count = 4711; }));
  EXPECT_TRUE(accepted([](Entry& e) { e.actor = "user:alice", e.resource = "mate:analyzer"; }));
  EXPECT_TRUE(accepted([](Entry& e) { e.actor = "guest", e.outcome = "denied"; }));
}

TEST(CheckEntry, a_zero_byte_is_refused_in_every_text) {
  EXPECT_FALSE(accepted([](Entry& e) { e.entry_id = zero; }));
  EXPECT_FALSE(accepted([](Entry& e) { e.actor = "mate:" + zero; }));
  EXPECT_FALSE(accepted([](Entry& e) { e.action = zero; }));
  EXPECT_FALSE(accepted([](Entry& e) { e.resource = "mate:analyzer/" + zero; }));
  EXPECT_FALSE(accepted([](Entry& e) { e.outcome = zero; }));
  EXPECT_FALSE(accepted([](Entry& e) { e.code = zero; }));
  EXPECT_FALSE(accepted([](Entry& e) { e.trace_id = zero; }));
}

TEST(CheckEntry, numbers_have_bounds_that_sums_can_bear) {
  EXPECT_TRUE(accepted([](Entry& e) { e.count = EntryLimits::count; }));
  EXPECT_FALSE(accepted([](Entry& e) { e.count = EntryLimits::count + 1; }));
  EXPECT_FALSE(accepted([](Entry& e) { e.count = std::numeric_limits<std::uint64_t>::max(); }));
  EXPECT_FALSE(accepted([](Entry& e) { e.count = 0; }));
  EXPECT_TRUE(accepted([](Entry& e) { e.duration_us = EntryLimits::duration.count(); }));
  EXPECT_FALSE(accepted([](Entry& e) { e.duration_us = EntryLimits::duration.count() + 1; }));
  EXPECT_FALSE(accepted([](Entry& e) { e.duration_us = -1; }));
}

TEST(CheckEntry, a_mate_speaks_of_its_own_enforcement_only) {
  for (const auto* action : {"privacy.redact", "consent.grant", "call.", "Call"})
    EXPECT_FALSE(accepted([&](Entry& e) { e.action = action; })) << action;
  for (const auto* actor :
       {"service:privacy", "platform", "admin", "mate:", "mate:a/b", "user:a b", "guest:x"})
    EXPECT_FALSE(accepted([&](Entry& e) { e.actor = actor; })) << actor;
  for (const auto* resource : {"mate:bank/accounts/read", "mate:analyzer2/x", "erasure:1:1:x", "analyzer"})
    EXPECT_FALSE(accepted([&](Entry& e) { e.resource = resource; })) << resource;
  EXPECT_FALSE(accepted([](Entry& e) { e.outcome = "whatever"; }));
}

TEST(CheckEntry, its_time_is_near) {
  EXPECT_TRUE(accepted([](Entry& e) { e.at = now - 29 * 24h; }));
  EXPECT_FALSE(accepted([](Entry& e) { e.at = now - 31 * 24h; }));
  EXPECT_FALSE(accepted([](Entry& e) { e.at = now + 6min; }));
}

TEST(MakeStorable, zero_bytes_become_legible_and_nothing_else_changes) {
  auto one = entry();
  one.resource = "doc:" + zero;
  one.code = zero;
  make_storable(one);
  EXPECT_EQ(one.resource,
            "doc:a\xEF\xBF\xBD"
            "b");
  EXPECT_EQ(one.code,
            "a\xEF\xBF\xBD"
            "b");
  one.resource = entry().resource;
  one.code = entry().code;
  EXPECT_EQ(json::encode(one), json::encode(entry()));
}

TEST(IsUnstorable, only_what_the_database_says_of_the_values) {
  const auto refused = [](std::string_view sqlstate) {
    return is_unstorable(postgres::server_error("audit_append", {sqlstate, "", ""}));
  };
  for (const auto* of_values : {"22001", "22003", "22021", "23514", "23502", "23503"})
    EXPECT_TRUE(refused(of_values)) << of_values;
  // A right, a table or a column that is missing, a full disk, a head that somebody else has moved.
  for (const auto* passing :
       {"42501", "42P01", "42703", "42883", "53100", "23505", "40001", "57014", "XX000", "25006"})
    EXPECT_FALSE(refused(passing)) << passing;
}

TEST(Legible, shows_identifiers_and_where_bytes_are_no_text) {
  const std::string mark = "\xEF\xBF\xBD";
  EXPECT_EQ(legible("[{\"userId\":\"alice-1\"}]\n"), "[{\"userId\":\"alice-1\"}]\n");
  EXPECT_EQ(legible(std::string("\xFF\0\1x", 4)), mark + mark + mark + "x");
}

TEST(ReadMessage, what_cannot_be_read_takes_nothing_else_with_it) {
  platform::AuditRecord good{TenantId::trusted("acme"), entry()};
  const auto read =
      read_message("[" + json::encode(good) +
                   R"(,{"tenant":"acme","entry":{"entryId":"half"}},{"tenant":"a b","entry":{}},7,)" +
                   json::encode(good) + "]");
  EXPECT_EQ(read.records.size(), 2u);
  ASSERT_EQ(read.unreadable.size(), 3u);
  EXPECT_EQ(read.unreadable[0].tenant, TenantId::trusted("acme"));
  EXPECT_EQ(read.unreadable[0].text, R"({"entryId":"half"})");
  EXPECT_FALSE(read.unreadable[1].tenant);
  EXPECT_EQ(read.unreadable[1].text, R"({"tenant":"a b","entry":{}})");
  EXPECT_EQ(read.unreadable[2].text, "7");

  for (const auto* whole : {"{}", "[", "\xFF"}) {
    const auto garbage = read_message(whole);
    ASSERT_EQ(garbage.unreadable.size(), 1u) << whole;
    EXPECT_EQ(garbage.unreadable[0].text, whole);
    EXPECT_TRUE(garbage.records.empty());
  }
}

}  // namespace
}  // namespace intra365::services::audit
