#include "services/events/slots.hpp"

#include <gmock/gmock.h>

#include "postgres/test_loop.hpp"

namespace intra365::services::events {
namespace {

using namespace postgres::testing;

class SlotsTest : public ::testing::Test {
 protected:
  void sql(const std::string& text) { server_.execute("postgres", text); }
  /// `name: alarm` of each slot.
  std::vector<std::string> alarms(std::int64_t alarm_bytes) {
    const auto slots = loop_.run(look_at_slots(*pool_, alarm_bytes, in(5s)));
    EXPECT_TRUE(slots) << slots.error().detail;
    std::vector<std::string> words;
    for (const auto& slot : *slots) words.push_back(slot.slot + ": " + slot.alarm.value_or("well"));
    return words;
  }

  PostgresServer server_{PostgresServer::Fsync::off};
  Loop loop_;
  std::unique_ptr<postgres::Pool> pool_ = loop_.pool(server_.dsn());
};

TEST_F(SlotsTest, where_the_database_sets_no_limit_the_disk_is_watched_all_the_same) {
  sql("SELECT pg_create_logical_replication_slot('kept', 'pgoutput')");
  sql("SELECT pg_logical_emit_message(false, 'fill', repeat('x', 3000000))");
  EXPECT_THAT(alarms(kAlarmBytes), ::testing::ElementsAre("kept: well"));
  EXPECT_THAT(alarms(1 << 20), ::testing::ElementsAre("kept: filling"));
  sql("ALTER SYSTEM SET max_slot_wal_keep_size = '1GB'");
  sql("SELECT pg_reload_conf()");
  ASSERT_TRUE(loop_.until([&] { return alarms(1 << 20).front() == "kept: well"; }))
      << "its limit counts then";
}

TEST_F(SlotsTest, one_that_keeps_nothing_yet_has_lost_nothing) {
  sql("SELECT pg_create_physical_replication_slot('new')");
  EXPECT_THAT(alarms(kAlarmBytes), ::testing::ElementsAre("new: well"));
}

}  // namespace
}  // namespace intra365::services::events
