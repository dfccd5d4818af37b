#include "sdk/cpp/audit_queue.hpp"

#include <gtest/gtest.h>

namespace intra365::sdk {
namespace {

audit::Entry entry(std::string actor) {
  audit::Entry one;
  one.entry_id = new_uuid();
  one.actor = std::move(actor);
  return one;
}

void record(AuditQueue& queue, const std::string& actor) {
  queue.record(actor, [&] { return entry(actor); });
}

TEST(AuditQueue, alike_decisions_that_wait_together_are_one_entry) {
  AuditQueue queue;
  for (const auto* actor : {"a", "b", "a", "a"}) record(queue, actor);
  ASSERT_EQ(queue.batch().size(), 2u);
  EXPECT_EQ(queue.batch()[0].count, 3u);
  EXPECT_EQ(queue.batch()[1].count, 1u);
}

TEST(AuditQueue, what_is_under_way_stays_as_it_is_until_it_was_sent) {
  AuditQueue queue;
  record(queue, "a");
  const auto id = queue.batch().front().entry_id;
  record(queue, "a");
  ASSERT_EQ(queue.batch().size(), 1u);
  EXPECT_EQ(queue.batch().front().entry_id, id);
  EXPECT_EQ(queue.batch().front().count, 1u);
  queue.sent();
  ASSERT_EQ(queue.batch().size(), 1u);
  EXPECT_NE(queue.batch().front().entry_id, id);
  queue.sent();
  EXPECT_TRUE(queue.batch().empty());
  EXPECT_TRUE(queue.empty());
}

TEST(AuditQueue, while_nothing_can_be_sent_alike_decisions_go_on_to_be_one) {
  AuditQueue queue;
  for (int round = 0; round < 1000; ++round) {
    record(queue, "a");
    EXPECT_EQ(queue.batch().size(), 1u);  // and the attempt to send it fails
  }
  EXPECT_EQ(queue.size(), 2u);
}

TEST(AuditQueue, a_full_queue_stores_no_refusal_counts_it_and_has_room_for_every_end) {
  AuditQueue queue;
  for (int i = 0; queue.has_room(); ++i) record(queue, std::to_string(i));
  const auto full = queue.size();
  for (int i = 0; i < 1000; ++i) record(queue, "late-" + std::to_string(i));
  EXPECT_EQ(queue.size(), full);
  EXPECT_EQ(queue.unrecorded(), 1000u);
  record(queue, "7");
  EXPECT_EQ(queue.unrecorded(), 1000u) << "that entry is there, and counts it";
  for (std::size_t i = 0; i < AuditQueue::kMaxUses; ++i) queue.record_end(entry("end"));
  EXPECT_EQ(queue.size(), AuditQueue::kMaxEntries);
  std::size_t ends = 0, all = 0;
  for (; !queue.batch().empty(); queue.sent()) {
    EXPECT_LE(queue.batch().size(), AuditQueue::kMaxPerBatch);
    for (const auto& one : queue.batch()) ends += one.actor == "end" ? 1 : 0;
    all += queue.batch().size();
  }
  EXPECT_EQ(ends, AuditQueue::kMaxUses);
  EXPECT_EQ(all, AuditQueue::kMaxEntries);
  EXPECT_TRUE(queue.has_room());
  record(queue, "7");
  EXPECT_EQ(queue.batch().front().count, 1u);
}

TEST(AuditQueue, a_batch_fits_into_a_request_however_much_its_entries_say) {
  AuditQueue queue;
  for (int i = 0; i < 500; ++i) {
    auto one = entry(std::to_string(i));
    for (int scope = 0; scope < 50; ++scope) one.scopes.push_back(Scope::trusted(std::string(100, 's')));
    queue.record_end(std::move(one));
  }
  std::size_t all = 0;
  for (; !queue.batch().empty(); queue.sent()) {
    audit::AppendRequest request{queue.batch()};
    EXPECT_LT(json::encode(request).size(), 512u << 10);
    all += queue.batch().size();
  }
  EXPECT_EQ(all, 500u);
}

}  // namespace
}  // namespace intra365::sdk
