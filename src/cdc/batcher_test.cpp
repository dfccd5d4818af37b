// What becomes of the messages of a log, with messages made by hand: no server, no time.
#include "cdc/batcher.hpp"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <set>

#include "postgres/errors.hpp"

namespace intra365::cdc {
namespace {

using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

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
/// Columns tenant_id (key), id (key, integer), note. With replica identity full the log calls every column
/// key.
std::string relation(char identity = 'd', const std::string& table = "things") {
  std::string out = "R";
  put(out, 1, 4);
  out += "intra365\0"s + table + '\0' + identity;
  put(out, 3, 2);
  for (const auto& [name, key, type] : {std::tuple{"tenant_id", 1, 25}, {"id", 1, 23}, {"note", 0, 25}}) {
    out += static_cast<char>(identity == 'f' ? 1 : key);
    out += name + "\0"s;
    put(out, static_cast<std::uint64_t>(type), 4);
    put(out, 0xffffffff, 4);
  }
  return out;
}
/// One value as the log has it: `~` was not touched, `-` is null.
std::string text(const std::string& value) {
  if (value == "~") return "u";
  if (value == "-") return "n";
  std::string out = "t";
  put(out, value.size(), 4);
  return out + value;
}
std::string tuple(const std::string& tenant, const std::string& id, const std::string& note) {
  std::string out;
  put(out, 3, 2);
  return out + text(tenant) + text(id) + text(note);
}
std::string insert(const std::string& tenant, int id, const std::string& note = "x") {
  return "I\0\0\0\x01N"s + tuple(tenant, std::to_string(id), note);
}
/// `what`: K, of the old row there is the key; O, there is all of it.
std::string update(char what, const std::string& old, const std::string& row) {
  return "U\0\0\0\x01"s + what + old + 'N' + row;
}
std::string message(const std::string& prefix, const std::string& content) {
  std::string out = "M\x01"s;
  put(out, 0, 8);
  out += prefix + '\0';
  put(out, content.size(), 4);
  return out + content;
}
std::string truncate() {
  return "T\0\0\0\x01\0\0\0\0\x01"s;
}

class BatcherTest : public ::testing::Test {
 protected:
  Batcher make(Cursor from = {}, std::size_t max_messages = 999) {
    BatcherOptions options;
    options.source = "sys.slot";
    options.max_messages = max_messages;
    options.max_payload = 1000;
    options.aside_subject = "change.aside.slot";
    return Batcher(options, from);
  }
  static void take(Batcher& batcher, const std::vector<std::string>& messages) {
    for (const auto& message : messages) {
      const auto taken = batcher.take(message);
      ASSERT_TRUE(taken) << taken.error().detail;
    }
  }
  /// A batch without the words about tables, which have a test of their own.
  static Batch cut(Batcher& batcher) {
    auto batch = batcher.cut();
    std::erase_if(batch.messages, [](const auto& one) { return one.subject.starts_with("change.schema."); });
    return batch;
  }
};

TEST_F(BatcherTest, a_change_says_what_it_is_and_where_it_stands) {
  auto batcher = make();
  take(batcher, {relation(), begin(100), insert("acme", 5, "a \"note\""), commit(100)});
  const auto batch = cut(batcher);
  ASSERT_EQ(batch.messages.size(), 1u);
  EXPECT_THAT(batch.messages[0].subject, StartsWith("change.row.things.acme."));
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
  const auto batch = cut(batcher);
  EXPECT_EQ(batch.messages[0].subject, batch.messages[1].subject);
  EXPECT_NE(batch.messages[0].subject, batch.messages[2].subject);
}

TEST_F(BatcherTest, a_row_that_gets_another_key_goes_where_it_was_and_comes_where_it_is) {
  const std::vector<std::string> log = {relation(),
                                        begin(100),
                                        insert("acme", 5),
                                        insert("acme", 6),
                                        update('K', tuple("acme", "5", "-"), tuple("acme", "6", "~")),
                                        update('K', tuple("acme", "6", "-"), tuple("other", "6", "y")),
                                        commit(100)};
  auto batcher = make();
  take(batcher, log);
  const auto batch = cut(batcher);
  std::vector<std::string> told, ids;
  for (const auto& one : batch.messages) {
    const auto change = boost::json::parse(one.payload).as_object();
    told.push_back(std::string(change.at("operation").as_string()) +
                   boost::json::serialize(change.at("key")));
    ids.emplace_back(change.at("id").as_string());
  }
  EXPECT_THAT(told,
              ElementsAre(R"(insert{"tenant_id":"acme","id":5})", R"(insert{"tenant_id":"acme","id":6})",
                          R"(delete{"tenant_id":"acme","id":5})", R"(insert{"tenant_id":"acme","id":6})",
                          R"(delete{"tenant_id":"acme","id":6})", R"(insert{"tenant_id":"other","id":6})"));
  EXPECT_THAT(ids, ElementsAre("sys.slot.64.1", "sys.slot.64.2", "sys.slot.64.3d", "sys.slot.64.3i",
                               "sys.slot.64.4d", "sys.slot.64.4i"));
  EXPECT_EQ(batch.messages[2].subject, batch.messages[0].subject) << "in order with what the old key was";
  EXPECT_EQ(batch.messages[3].subject, batch.messages[1].subject) << "and with what the new key will be";
  EXPECT_THAT(batch.messages[5].subject, StartsWith("change.row.things.other."));
  EXPECT_THAT(batch.messages[3].payload,
              HasSubstr(R"("unchanged":["note"],"old":{"tenant_id":"acme","id":5})"));
  EXPECT_EQ(batch.changes, 4u);
}

TEST_F(BatcherTest, both_halves_of_a_move_go_into_one_batch) {
  auto batcher = make({}, 3);
  take(batcher, {relation(), begin(100), insert("a", 1),
                 update('K', tuple("a", "1", "-"), tuple("a", "2", "x")), commit(100)});
  const auto first = batcher.cut();
  EXPECT_EQ(first.messages.size(), 2u) << "the table's description and a row";
  EXPECT_EQ(first.cursor.position, (Position{{100}, 1}));
  EXPECT_FALSE(first.cursor.complete);
  EXPECT_EQ(batcher.cut().messages.size(), 2u);
  EXPECT_TRUE(batcher.empty());
}

TEST_F(BatcherTest, with_replica_identity_full_the_primary_key_tells_rows_apart) {
  auto batcher = make();
  batcher.know_keys({{"intra365.things", {"tenant_id", "id"}}});
  take(batcher, {relation('f'), begin(100), insert("acme", 5, "x"),
                 update('O', tuple("acme", "5", "x"), tuple("acme", "5", "~")),
                 update('O', tuple("acme", "5", "x"), tuple("acme", "6", "~")), commit(100)});
  const auto batch = cut(batcher);
  ASSERT_EQ(batch.messages.size(), 4u);
  EXPECT_EQ(batch.messages[1].subject, batch.messages[0].subject);
  EXPECT_EQ(boost::json::parse(batch.messages[1].payload), boost::json::parse(R"({
    "id":"sys.slot.64.2","operation":"update","schema":"intra365","table":"things",
    "key":{"tenant_id":"acme","id":5},"row":{"tenant_id":"acme","id":5,"note":"x"},
    "old":{"tenant_id":"acme","id":5,"note":"x"},"committedAt":"2000-01-01T00:00:00Z","xid":7})"));
  EXPECT_EQ(batch.messages[2].subject, batch.messages[0].subject);
  EXPECT_THAT(batch.messages[2].payload, HasSubstr(R"("sys.slot.64.3d","operation":"delete")"));
  EXPECT_THAT(batch.messages[3].payload, HasSubstr(R"("row":{"tenant_id":"acme","id":6,"note":"x"})"))
      << "what the log did not say again is in the old row";
}

TEST_F(BatcherTest, where_no_key_tells_rows_apart_the_whole_row_does) {
  auto batcher = make();
  batcher.know_keys({{"intra365.things", {"tenant_id", "a column that is not carried"}}});
  take(batcher, {relation('f'), begin(100), update('O', tuple("a", "5", "x"), tuple("a", "5", "y")),
                 update('O', tuple("a", "5", "y"), tuple("a", "5", "y")), commit(100)});
  const auto batch = cut(batcher);
  ASSERT_EQ(batch.messages.size(), 3u);
  EXPECT_THAT(batch.messages[0].payload, HasSubstr(R"("key":{"tenant_id":"a","id":5,"note":"x"})"));
  EXPECT_THAT(batch.messages[1].payload, HasSubstr(R"("key":{"tenant_id":"a","id":5,"note":"y"})"));
  EXPECT_THAT(batch.messages[2].payload, HasSubstr(R"("operation":"update")"));
  EXPECT_EQ(batch.messages[2].subject, batch.messages[1].subject);
}

TEST_F(BatcherTest, a_truncate_is_said_on_every_partition) {
  auto batcher = make();
  take(batcher, {relation('d', "odd name.x"), begin(100), truncate(), commit(100)});
  const auto batch = cut(batcher);
  ASSERT_EQ(batch.messages.size(), 16u);
  std::set<std::string> subjects;
  for (const auto& one : batch.messages) {
    subjects.insert(one.subject);
    EXPECT_THAT(one.payload, HasSubstr(R"("id":"sys.slot.64.1","operation":"truncate")"));
    EXPECT_THAT(one.payload, HasSubstr(R"("table":"odd name.x")"));
  }
  EXPECT_EQ(subjects.size(), 16u);
  EXPECT_TRUE(subjects.contains("change.row.-.-.0") && subjects.contains("change.row.-.-.15"));
  EXPECT_EQ(batch.changes, 1u);
}

TEST_F(BatcherTest, what_the_cursor_covers_is_skipped_when_it_comes_again) {
  auto batcher = make(Cursor{{{200}, 1}, {208}, true});
  take(batcher,
       {relation(), begin(100), insert("a", 1), commit(100), begin(200), insert("a", 2), commit(200)});
  EXPECT_TRUE(batcher.empty());
  take(batcher, {begin(300), insert("a", 3), commit(300)});
  EXPECT_EQ(cut(batcher).messages.size(), 1u);
}

TEST_F(BatcherTest, behind_a_gap_even_what_commits_where_the_log_goes_on_is_told) {
  auto before = make(Cursor::in_front_of({100}));
  before.add_mark("change.publication.slot", "{}");
  const auto mark = before.cut();
  EXPECT_EQ(mark.cursor.end, postgres::Lsn{100});
  auto batcher = make(Cursor::parse(mark.cursor.json()).value());
  take(batcher, {relation(), begin(99), insert("a", 1), commit(99), begin(100), insert("a", 2), commit(100)});
  const auto batch = cut(batcher);
  ASSERT_EQ(batch.messages.size(), 1u);
  EXPECT_THAT(batch.messages[0].payload, HasSubstr("\"sys.slot.64.1\""));
}

TEST_F(BatcherTest, a_large_transaction_goes_in_parts_and_only_its_end_is_complete) {
  auto batcher = make({}, 3);
  take(batcher, {relation(), begin(100), insert("a", 1), insert("a", 2)});
  EXPECT_TRUE(batcher.full());
  const auto first = cut(batcher);
  EXPECT_FALSE(first.cursor.complete);
  EXPECT_EQ(first.cursor.end, postgres::Lsn{0}) << "nothing may be confirmed in the middle";
  take(batcher, {commit(100)});
  EXPECT_FALSE(batcher.empty()) << "the end is still to be told";
  const auto last = cut(batcher);
  EXPECT_TRUE(last.messages.empty());
  EXPECT_TRUE(last.cursor.complete);
  EXPECT_EQ(last.cursor.end, postgres::Lsn{108});
  EXPECT_TRUE(batcher.empty());
}

TEST_F(BatcherTest, a_transaction_that_broke_off_goes_on_behind_its_cursor) {
  auto batcher = make(Cursor{{{100}, 2}, {0}, false}, 2);
  take(batcher, {relation(), begin(100), insert("a", 1), insert("a", 2), insert("a", 3), commit(100)});
  const auto rest = cut(batcher);
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
  const auto batch = cut(batcher);
  ASSERT_EQ(batch.messages.size(), 4u);
  std::string whole;
  for (std::size_t part = 0; part < 3; ++part) {
    EXPECT_EQ(batch.messages[part].subject, "change.aside.slot");
    EXPECT_LE(batch.messages[part].payload.size(), 1000u);
    whole += batch.messages[part].payload;
  }
  EXPECT_EQ(boost::json::parse(whole).at("row").at("note").as_string(), std::string(2000, 'x'));
  const auto payload = boost::json::parse(batch.messages[3].payload).as_object();
  EXPECT_EQ(payload.at("key"), boost::json::parse(R"({"tenant_id":"acme","id":5})"));
  EXPECT_EQ(payload.at("unchanged"), boost::json::parse(R"(["note"])"));
  EXPECT_EQ(batch.changes, 1u);
  EXPECT_EQ(batcher.counts().set_aside, 1u);
}

TEST_F(BatcherTest, what_is_too_large_even_to_set_aside_is_not_said_to_lie_there) {
  BatcherOptions options;
  options.source = "sys.slot";
  options.max_payload = 1000;
  options.max_aside = 1500;
  options.aside_subject = "change.aside.slot";
  options.on_message = [](const postgres::pgoutput::Logical& message, const Transaction&,
                          const std::string&) {
    nats::Outgoing event;
    event.subject = "event";
    event.payload = message.content;
    return Result<std::optional<nats::Outgoing>>(std::move(event));
  };
  Batcher batcher(options, {});
  take(batcher,
       {relation(), begin(100), insert("acme", 5, std::string(2000, 'x')),
        message("event", std::string(2000, 'y')), message("event", std::string(1200, 'z')), commit(100)});
  const auto batch = cut(batcher);
  ASSERT_EQ(batch.messages.size(), 5u);
  EXPECT_THAT(batch.messages[0].subject, StartsWith("change.row.things."));
  EXPECT_EQ(batch.messages[0].headers.text().find("Intra365-Aside"), std::string_view::npos);
  EXPECT_EQ(batch.messages[1].payload, R"({"id":"sys.slot.64.2","operation":"left_out"})");
  EXPECT_EQ(batch.messages[4].payload, R"({"id":"sys.slot.64.3","operation":"aside"})");
  EXPECT_EQ(batcher.counts().left_out, 2u);
  EXPECT_EQ(batcher.counts().set_aside, 1u);
}

TEST_F(BatcherTest, an_event_that_is_none_is_set_aside_and_counted) {
  BatcherOptions options;
  options.source = "sys.slot";
  options.aside_subject = "change.aside.slot";
  options.on_message = [](const postgres::pgoutput::Logical& message, const Transaction&,
                          const std::string&) -> Result<std::optional<nats::Outgoing>> {
    if (message.prefix != "event") return std::nullopt;
    return fail(errors::bad_event);
  };
  Batcher batcher(options, {});
  take(batcher, {begin(100), message("event", "no event"), message("other", "none of ours"), commit(100)});
  const auto batch = batcher.cut();
  ASSERT_EQ(batch.messages.size(), 2u);
  EXPECT_EQ(batch.messages[0].subject, "change.aside.slot");
  EXPECT_EQ(batch.messages[0].payload, "no event");
  EXPECT_THAT(std::string(batch.messages[0].headers.text()), HasSubstr("Intra365-Change: sys.slot.64.1"));
  EXPECT_EQ(batch.messages[1].payload, R"({"id":"sys.slot.64.1","operation":"malformed"})");
  EXPECT_EQ(batcher.counts().malformed, 1u);
  EXPECT_EQ(batcher.counts().set_aside, 0u);
}

TEST_F(BatcherTest, what_does_not_fit_into_a_batch_stays_for_the_next_and_is_not_covered_by_its_cursor) {
  auto batcher = make({}, 3);
  take(batcher,
       {relation(), begin(100), insert("a", 1), insert("a", 2, std::string(2000, 'x')), commit(100)});
  const auto first = batcher.cut();  // what describes the table, a row, and one part of the other
  EXPECT_EQ(first.messages.size(), 3u);
  EXPECT_EQ(first.cursor.position, (Position{{100}, 1}));
  EXPECT_FALSE(first.cursor.complete);
  EXPECT_EQ(first.cursor.end, postgres::Lsn{0});
  auto again = make(first.cursor, 9);
  take(again, {relation(), begin(100), insert("a", 1), insert("a", 2, std::string(2000, 'x')), commit(100)});
  const auto rest = cut(again);
  EXPECT_EQ(rest.messages.size(), 4u);
  EXPECT_EQ(rest.changes, 1u);
  EXPECT_TRUE(rest.cursor.complete);
  EXPECT_EQ(rest.cursor.end, postgres::Lsn{108});
}

TEST_F(BatcherTest, a_table_is_described_before_its_first_row_and_when_it_has_changed) {
  auto batcher = make();
  take(batcher, {relation(), begin(100), insert("a", 1), insert("a", 2), commit(100)});
  const auto first = batcher.cut();
  ASSERT_EQ(first.messages.size(), 3u);
  EXPECT_EQ(first.messages[0].subject, "change.schema.things");
  EXPECT_EQ(boost::json::parse(first.messages[0].payload).at("columns").as_array().size(), 3u);
  auto renamed = relation();
  renamed.replace(renamed.find("note"), 4, "text");
  take(batcher, {relation(), begin(200), insert("a", 3), renamed, insert("a", 4), commit(200)});
  const auto second = batcher.cut();
  ASSERT_EQ(second.messages.size(), 3u);
  EXPECT_THAT(second.messages[0].subject, StartsWith("change.row."));
  EXPECT_EQ(second.messages[1].subject, "change.schema.things");
  EXPECT_THAT(second.messages[2].payload, HasSubstr(R"("text":"x")"));
  EXPECT_EQ(batcher.counts().schema_changes, 1u);
}

TEST_F(BatcherTest, what_it_does_not_understand_is_refused_so_that_it_is_not_confirmed) {
  const auto refused = [&](const std::string& message) {
    auto batcher = make();
    take(batcher, {relation()});
    const auto taken = batcher.take(message);
    return !taken && taken.error().is(postgres::errors::bad_replication);
  };
  EXPECT_TRUE(refused("S\0\0\0\x09\x01"s)) << "streaming";
  EXPECT_TRUE(refused("b" + std::string(24, '\0') + "\0\0\0\x09gid\0"s)) << "two-phase";
  EXPECT_TRUE(refused(insert("acme", 1))) << "a row outside of any transaction";
  EXPECT_FALSE(refused("Y\0\0\0\x09public\0mood\0"s)) << "a type changes nothing";
}

TEST_F(BatcherTest, a_name_that_is_no_token_does_not_reach_the_subject) {
  auto batcher = make();
  take(batcher, {relation(), begin(100), insert("a.b > *", 1), commit(100)});
  EXPECT_THAT(cut(batcher).messages.at(0).subject, StartsWith("change.row.things.-."));
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
