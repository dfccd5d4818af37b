#include "postgres/pgoutput.hpp"

#include <gtest/gtest.h>

#include "postgres/errors.hpp"

namespace intra365::postgres::pgoutput {
namespace {

using namespace std::string_literals;

const std::string kRelation =
    "R\0\0\0\x01public\0t\0d\0\x02\x01id\0\0\0\0\x17\xff\xff\xff\xff\0name\0\0\0\0\x19\xff\xff\xff\xff"s;
const std::string kInsert =
    "I\0\0\0\x01N\0\x02t\0\0\0\x01"
    "7n"s;

TEST(Pgoutput, reads_a_row_with_its_table) {
  Decoder decoder;
  ASSERT_TRUE(decoder.decode(kRelation));
  const auto message = decoder.decode(kInsert);
  ASSERT_TRUE(message) << message.error().detail;
  const auto& insert = std::get<Insert>(*message);
  EXPECT_EQ(insert.relation->table, "t");
  EXPECT_TRUE(insert.relation->columns[0].is_key);
  EXPECT_EQ(insert.row[0].bytes, "7");
  EXPECT_EQ(insert.row[1].kind, ValueKind::null);
}

TEST(Pgoutput, refuses_every_message_that_is_cut_short_or_too_long) {
  for (const auto& whole : {kRelation, kInsert}) {
    for (std::size_t size = 0; size <= whole.size() + 1; ++size) {
      Decoder decoder;
      if (&whole != &kRelation) ASSERT_TRUE(decoder.decode(kRelation));
      const auto message = decoder.decode((whole + "x").substr(0, size));
      EXPECT_EQ(message.has_value(), size == whole.size()) << size;
    }
  }
}

TEST(Pgoutput, refuses_rows_that_do_not_fit_their_table) {
  Decoder decoder;
  EXPECT_TRUE(decoder.decode(kInsert).error().is(errors::bad_replication)) << "a table nobody described";
  ASSERT_TRUE(decoder.decode(kRelation));
  EXPECT_FALSE(decoder.decode("I\0\0\0\x01N\0\x01n"s)) << "a column is missing";
  EXPECT_FALSE(decoder.decode("I\0\0\0\x01N\0\x02tn\xff\xff\xff\xff"s)) << "a negative length";
  EXPECT_FALSE(decoder.decode("I\0\0\0\x01O\0\x02nn"s)) << "an insert without a new row";
  EXPECT_FALSE(decoder.decode("Z")) << "an unknown kind";
  EXPECT_FALSE(decoder.decode("E")) << "the end of no streamed block";
  EXPECT_FALSE(decoder.decode("T\xff\xff\xff\xff\0"s)) << "more tables than bytes";
}

TEST(Pgoutput, expects_transaction_ids_only_inside_streamed_blocks) {
  Decoder decoder;
  ASSERT_TRUE(decoder.decode("S\0\0\0\x09\x01"s));
  ASSERT_TRUE(decoder.decode("R\0\0\0\x09"s + kRelation.substr(1)));
  const auto insert = decoder.decode("I\0\0\0\x09"s + kInsert.substr(1));
  ASSERT_TRUE(insert);
  EXPECT_EQ(std::get<Insert>(*insert).xid, 9U);
  EXPECT_FALSE(decoder.decode("S\0\0\0\x09\x01"s)) << "a block inside a block";
  ASSERT_TRUE(decoder.decode("E"));
  EXPECT_FALSE(std::get<Insert>(*decoder.decode(kInsert)).xid);
}

}  // namespace
}  // namespace intra365::postgres::pgoutput
