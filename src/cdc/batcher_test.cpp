// What becomes of the messages of a log, with messages made by hand: no server, no time.
#include "cdc/batcher.hpp"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>

namespace intra365::cdc {
namespace {

using namespace std::string_literals;
using ::testing::HasSubstr;

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int shift = bytes * 8 - 8; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

std::string begin(std::uint64_t commit, std::uint32_t xid = 7) {
  std::string out = "B";
  put(out, commit, 8);
  put(out, 0, 8);  // 2000-01-01
  put(out, xid, 4);
  return out;
}
std::string commit(std::uint64_t at) {
  std::string out = "C"s + '\0';
  put(out, at, 8);
  put(out, at + 8, 8);
  put(out, 0, 8);
  return out;
}
/// Columns tenant_id (key), id (key, integer), note.
std::string relation() {
  std::string out = "R";
  put(out, 1, 4);
  out += "intra365\0things\0d"s;
  put(out, 3, 2);
  for (const auto& [name, key, type] : {std::tuple{"tenant_id", 1, 25}, {"id", 1, 23}, {"note", 0, 25}}) {
    out += static_cast<char>(key);
    out += name + "\0"s;
    put(out, static_cast<std::uint64_t>(type), 4);
    put(out, 0xffffffff, 4);
  }
  return out;
}
std::string text(const std::string& value) {
  std::string out = "t";
  put(out, value.size(), 4);
  return out + value;
}
std::string insert(const std::string& tenant, int id, const std::string& note = "x") {
  std::string out = "I";
  put(out, 1, 4);
  out += 'N';
  put(out, 3, 2);
  return out + text(tenant) + text(std::to_string(id)) + text(note);
}

class BatcherTest : public ::testing::Test {
 protected:
  Batcher make(Cursor from = {}, std::size_t max_messages = 999) {
    BatcherOptions options;
    options.source = "sys.slot";
    options.max_messages = max_messages;
    options.max_payload = 1000;
    return Batcher(options, from);
  }
  static void take(Batcher& batcher, const std::vector<std::string>& messages) {
    for (const auto& message : messages) {
      const auto taken = batcher.take(message);
      ASSERT_TRUE(taken) << taken.error().detail;
    }
  }
};

TEST_F(BatcherTest, a_change_says_what_it_is_and_where_it_stands) {
  auto batcher = make();
  take(batcher, {relation(), begin(100), insert("acme", 5, "a \"note\""), commit(100)});
  const auto batch = batcher.cut();
  ASSERT_EQ(batch.messages.size(), 1u);
  EXPECT_THAT(batch.messages[0].subject, ::testing::StartsWith("change.row.things.acme."));
  EXPECT_EQ(boost::json::parse(batch.messages[0].payload), boost::json::parse(R"({
    "id":"sys.slot.64.1","operation":"insert","schema":"intra365","table":"things",
    "key":{"tenant_id":"acme","id":5},"row":{"tenant_id":"acme","id":5,"note":"a \"note\""},
    "committedAt":"2000-01-01T00:00:00Z","xid":7})"));
  EXPECT_EQ(batch.cursor.json(), R"({"commit":"0/64","end":"0/6C","index":1,"complete":true})");
}

TEST_F(BatcherTest, rows_of_one_key_keep_to_one_subject) {
  auto batcher = make();
  take(batcher, {relation(), begin(100), insert("acme", 5), insert("acme", 5, "other"), insert("acme", 6),
                 commit(100)});
  const auto batch = batcher.cut();
  EXPECT_EQ(batch.messages[0].subject, batch.messages[1].subject);
  EXPECT_NE(batch.messages[0].subject, batch.messages[2].subject);
}

TEST_F(BatcherTest, what_the_cursor_covers_is_skipped_when_it_comes_again) {
  auto batcher = make(Cursor{{{200}, 1}, {208}, true});
  take(batcher,
       {relation(), begin(100), insert("a", 1), commit(100), begin(200), insert("a", 2), commit(200)});
  EXPECT_TRUE(batcher.empty());
  take(batcher, {begin(300), insert("a", 3), commit(300)});
  EXPECT_EQ(batcher.cut().messages.size(), 1u);
}

TEST_F(BatcherTest, a_large_transaction_goes_in_parts_and_only_its_end_is_complete) {
  auto batcher = make({}, 2);
  take(batcher, {relation(), begin(100), insert("a", 1), insert("a", 2)});
  EXPECT_TRUE(batcher.full());
  const auto first = batcher.cut();
  EXPECT_FALSE(first.cursor.complete);
  EXPECT_EQ(first.cursor.end, postgres::Lsn{0}) << "nothing may be confirmed in the middle";
  take(batcher, {commit(100)});
  EXPECT_FALSE(batcher.empty()) << "the end is still to be told";
  const auto last = batcher.cut();
  EXPECT_TRUE(last.messages.empty());
  EXPECT_TRUE(last.cursor.complete);
  EXPECT_EQ(last.cursor.end, postgres::Lsn{108});
  EXPECT_TRUE(batcher.empty());
}

TEST_F(BatcherTest, a_transaction_that_broke_off_goes_on_behind_its_cursor) {
  auto batcher = make(Cursor{{{100}, 2}, {0}, false}, 2);
  take(batcher, {relation(), begin(100), insert("a", 1), insert("a", 2), insert("a", 3), commit(100)});
  const auto rest = batcher.cut();
  ASSERT_EQ(rest.messages.size(), 1u);
  EXPECT_THAT(rest.messages[0].payload, HasSubstr("\"sys.slot.64.3\""));
  EXPECT_TRUE(rest.cursor.complete);

  auto nothing_left = make(Cursor{{{100}, 1}, {0}, false});
  take(nothing_left, {relation(), begin(100), insert("a", 1), commit(100)});
  EXPECT_FALSE(nothing_left.empty());
  EXPECT_TRUE(nothing_left.cut().cursor.complete);
}

TEST_F(BatcherTest, a_row_too_large_for_a_message_is_told_without_its_values) {
  auto batcher = make();
  take(batcher, {relation(), begin(100), insert("acme", 5, std::string(2000, 'x')), commit(100)});
  const auto payload = boost::json::parse(batcher.cut().messages.at(0).payload).as_object();
  EXPECT_EQ(payload.at("key"), boost::json::parse(R"({"tenant_id":"acme","id":5})"));
  EXPECT_EQ(payload.at("unchanged"), boost::json::parse(R"(["note"])"));
}

TEST_F(BatcherTest, a_name_that_is_no_token_does_not_reach_the_subject) {
  auto batcher = make();
  take(batcher, {relation(), begin(100), insert("a.b > *", 1), commit(100)});
  EXPECT_THAT(batcher.cut().messages.at(0).subject, ::testing::StartsWith("change.row.things.-."));
}

TEST(Cursors, that_are_none_are_refused) {
  for (const auto* bad : {"", "{}", "[]", R"({"commit":"x","end":"0/1","index":1,"complete":true})",
                          R"({"commit":"0/1","end":"0/1","index":-1,"complete":true})"})
    EXPECT_FALSE(Cursor::parse(bad)) << bad;
  const Cursor cursor{{{0x1234567890}, 42}, {0x1234567899}, false};
  const auto again = Cursor::parse(cursor.json());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->position, cursor.position);
  EXPECT_EQ(again->end, cursor.end);
  EXPECT_FALSE(again->complete);
}

}  // namespace
}  // namespace intra365::cdc
