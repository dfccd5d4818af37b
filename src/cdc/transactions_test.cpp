#include "cdc/transactions.hpp"

#include <gmock/gmock.h>

namespace intra365::cdc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

struct Transactions : ::testing::Test {
  static TransactionAssembler::Options options() {
    TransactionAssembler::Options options;
    options.slot = "slot";
    return options;
  }
  TransactionAssembler assembler{options()};
  std::uint64_t sequence = 0;

  /// What is whole by this message, as `commit: how many changes`; or the error's code.
  std::vector<std::string> take(const std::string& subject, const std::string& payload) {
    const auto whole = assembler.take({subject, payload, ++sequence});
    if (!whole) return {whole.error().code};
    std::vector<std::string> words;
    for (const auto& one : *whole)
      words.push_back(one.commit.text() + ": " + std::to_string(one.changes.size()));
    return words;
  }
  std::vector<std::string> row(const std::string& commit, int index) {
    return take("change.row.things.t.1",
                "{\"id\":\"7.slot." + commit + "." + std::to_string(index) + "\",\"operation\":\"insert\"}");
  }
  std::vector<std::string> cursor(std::uint64_t commit, bool complete) {
    return take("change.cursor.slot",
                Cursor{{postgres::Lsn{commit}, 1}, postgres::Lsn{commit}, complete}.json());
  }
};

TEST_F(Transactions, those_of_one_batch_come_apart_with_its_cursor) {
  EXPECT_THAT(row("a0", 1), IsEmpty());
  EXPECT_THAT(row("a0", 2), IsEmpty());
  EXPECT_THAT(row("b0", 1), IsEmpty());
  EXPECT_EQ(assembler.settled(), 0u);
  EXPECT_THAT(cursor(0xb0, true), ElementsAre("0/A0: 2", "0/B0: 1"));
  EXPECT_EQ(assembler.settled(), 4u);
  EXPECT_EQ(assembler.waiting_bytes(), 0u);
}

TEST_F(Transactions, one_in_pieces_comes_when_its_end_has_come) {
  row("a0", 1);
  row("b0", 1);
  EXPECT_THAT(cursor(0xb0, false), ElementsAre("0/A0: 1")) << "what was before it is whole";
  EXPECT_EQ(assembler.settled(), 0u) << "a piece may not be acknowledged";
  row("b0", 2);
  EXPECT_THAT(cursor(0xb0, false), IsEmpty());
  EXPECT_THAT(cursor(0xb0, true), ElementsAre("0/B0: 2")) << "the cursor alone may be the end";
  EXPECT_EQ(assembler.settled(), 6u);
}

TEST_F(Transactions, who_begins_in_the_middle_leaves_out_what_may_lack_its_beginning) {
  auto anywhere = options();
  anywhere.starts_anywhere = true;
  assembler = TransactionAssembler(anywhere);
  row("a0", 17);
  EXPECT_THAT(cursor(0xa0, false), IsEmpty());
  EXPECT_THAT(cursor(0xa0, true), IsEmpty());
  row("b0", 1);
  EXPECT_THAT(cursor(0xb0, true), ElementsAre("0/B0: 1"));
}

TEST_F(Transactions, a_message_that_comes_again_is_ignored) {
  row("a0", 1);
  --sequence;
  EXPECT_THAT(row("a0", 1), IsEmpty());
  EXPECT_THAT(cursor(0xa0, true), ElementsAre("0/A0: 1"));
}

TEST_F(Transactions, a_gap_is_told_and_what_was_begun_is_dropped) {
  row("a0", 1);
  EXPECT_THAT(take("change.gap.slot", "{}"), ElementsAre("cdc.gap"));
  row("c0", 1);
  EXPECT_THAT(cursor(0xc0, true), ElementsAre("0/C0: 1"));
}

TEST_F(Transactions, memory_is_bounded) {
  auto small = options();
  small.max_bytes = 60;
  assembler = TransactionAssembler(small);
  EXPECT_THAT(row("a0", 1), IsEmpty());
  EXPECT_THAT(row("a0", 2), ElementsAre("cdc.transaction_too_large"));
}

TEST_F(Transactions, one_that_was_too_large_is_not_handed_out_cut_short) {
  auto small = options();
  small.max_bytes = 100;
  assembler = TransactionAssembler(small);
  EXPECT_THAT(row("90", 1), IsEmpty());
  EXPECT_THAT(row("a0", 1), IsEmpty());
  EXPECT_THAT(row("a0", 2), ElementsAre("cdc.transaction_too_large"));
  EXPECT_THAT(row("a0", 3), IsEmpty()) << "told once";
  EXPECT_THAT(cursor(0xa0, false), ElementsAre("0/90: 1")) << "what was before it is whole";
  EXPECT_EQ(assembler.settled(), 0u) << "whoever takes it up again must get its beginning";
  EXPECT_THAT(row("a0", 4), IsEmpty());
  EXPECT_THAT(cursor(0xa0, true), IsEmpty());
  EXPECT_EQ(assembler.settled(), sequence);
  EXPECT_EQ(assembler.waiting_bytes(), 0u);
  row("b0", 1);
  EXPECT_THAT(cursor(0xb0, true), ElementsAre("0/B0: 1"));
}

TEST_F(Transactions, where_a_change_says_nothing_of_itself_neither_neighbour_passes_for_whole) {
  const auto stranger = [&] { return take("change.row.things.t.1", "{}"); };
  row("80", 1);
  row("90", 1);
  EXPECT_THAT(stranger(), ElementsAre("cdc.bad_change"));
  row("90", 2);
  row("a0", 1);
  EXPECT_THAT(cursor(0xa0, true), ElementsAre("0/80: 1", "0/A0: 1"))
      << "it was between two of one transaction";
  row("b0", 1);
  EXPECT_THAT(stranger(), ElementsAre("cdc.bad_change"));
  row("c0", 1);
  row("d0", 1);
  EXPECT_THAT(cursor(0xd0, true), ElementsAre("0/D0: 1"));
  EXPECT_THAT(stranger(), ElementsAre("cdc.bad_change"));
  EXPECT_THAT(cursor(0xe0, false), IsEmpty());
  row("e0", 2);
  EXPECT_THAT(cursor(0xe0, true), IsEmpty()) << "the first piece had nothing else";
  EXPECT_EQ(assembler.settled(), sequence);
}

TEST_F(Transactions, a_snapshot_that_cannot_be_whole_never_ends) {
  auto small = options();
  small.max_bytes = 120;
  assembler = TransactionAssembler(small);
  const auto piece = [&](const std::string& kind, int index) {
    return take("change.snapshot." + kind, "{\"id\":\"7.slot.snapshot.a0." + std::to_string(index) + "\"}");
  };
  piece("begin.slot", 0);
  EXPECT_THAT(cursor(0x90, true), ElementsAre("0/A0: 1"));
  for (int i = 1; i <= 4; ++i) piece("row.things.t.1", i);
  EXPECT_THAT(piece("row.things.t.1", 5), ElementsAre("cdc.transaction_too_large"));
  const auto settled = assembler.settled();
  EXPECT_THAT(cursor(0x90, true), IsEmpty());
  EXPECT_THAT(piece("row.things.t.1", 6), IsEmpty());
  EXPECT_THAT(cursor(0x90, true), IsEmpty());
  EXPECT_EQ(assembler.settled(), settled);
  EXPECT_THAT(piece("end.slot", 7), IsEmpty());
  EXPECT_THAT(cursor(0x90, true), IsEmpty());
  EXPECT_EQ(assembler.settled(), sequence);
}

TEST_F(Transactions, what_says_nothing_of_its_transaction_is_refused) {
  for (const char* payload :
       {"{}", "{\"id\":\"x\"}", "{\"id\":\"a.zz.1\"}", "{\"id\":\".1\"}", "{\"id\":\"s..1\"}"})
    EXPECT_THAT(take("change.row.things.t.1", payload), ElementsAre("cdc.bad_change")) << payload;
  EXPECT_THAT(take("change.cursor.slot", "nonsense"), ElementsAre("cdc.bad_cursor"));
}

}  // namespace
}  // namespace intra365::cdc
