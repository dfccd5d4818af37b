#include "nats/key_value_mirror.hpp"

#include <gtest/gtest.h>

namespace intra365::nats {
namespace {

class BucketMirrorTest : public ::testing::Test {
 protected:
  void put(std::string_view key, std::string_view value, std::uint64_t sequence) {
    MessageView message;
    message.payload = value;
    mirror.apply(key, message, sequence);
  }
  void remove(std::string_view key, std::string_view header, std::uint64_t sequence) {
    const auto block = "NATS/1.0\r\n" + std::string(header) + "\r\n\r\n";
    MessageView message;
    message.headers = HeaderView(block);
    mirror.apply(key, message, sequence);
  }
  std::vector<std::string> told() { return std::exchange(told_, {}); }

  std::vector<std::string> told_;
  BucketMirror mirror{
      [this](const Entry& entry) { told_.push_back(entry.key + (entry.deleted ? "-" : "=" + entry.value)); }};
};

using Told = std::vector<std::string>;

TEST_F(BucketMirrorTest, is_ready_when_the_first_load_is_complete) {
  mirror.begin_load(7, BucketMirror::Load::anew);
  put("a", "1", 3);
  EXPECT_FALSE(mirror.ready());
  mirror.complete();
  EXPECT_TRUE(mirror.ready());
  EXPECT_EQ(mirror.revision(), 7u) << "what came after the last live value was deleted before";
  EXPECT_EQ(mirror.find("a")->value, "1");
}

TEST_F(BucketMirrorTest, revision_moves_only_when_nothing_is_pending) {
  mirror.begin_load(0, BucketMirror::Load::anew);
  mirror.complete();
  put("a", "1", 1);
  put("b", "1", 2);
  EXPECT_EQ(mirror.revision(), 0u);
  EXPECT_EQ(mirror.last_sequence(), 2u);
  mirror.complete();
  EXPECT_EQ(mirror.revision(), 2u);
}

TEST_F(BucketMirrorTest, every_kind_of_marker_deletes) {
  mirror.begin_load(0, BucketMirror::Load::anew);
  mirror.complete();
  std::uint64_t sequence = 0;
  for (const auto* header : {"KV-Operation: DEL", "KV-Operation: PURGE", "Nats-Marker-Reason: MaxAge",
                             "Nats-Marker-Reason: Remove"}) {
    put("a", "1", ++sequence);
    remove("a", header, ++sequence);
    EXPECT_EQ(mirror.find("a"), nullptr) << header;
    EXPECT_EQ(told(), (Told{"a=1", "a-"})) << header;
  }
  put("a", "1", ++sequence);
  remove("a", "KV-Operation: PUT", ++sequence);
  EXPECT_NE(mirror.find("a"), nullptr);
  told();
  remove("never", "KV-Operation: DEL", ++sequence);
  EXPECT_TRUE(told().empty()) << "nothing changed";
}

TEST_F(BucketMirrorTest, loading_again_tells_only_what_changed_and_sweeps_what_is_gone) {
  mirror.begin_load(0, BucketMirror::Load::anew);
  put("a", "1", 1);
  put("b", "1", 2);
  put("c", "1", 3);
  mirror.complete();
  told();
  mirror.begin_load(5, BucketMirror::Load::again);
  EXPECT_TRUE(mirror.ready());
  put("a", "1", 1);
  put("b", "2", 4);
  EXPECT_NE(mirror.find("c"), nullptr) << "until the load is complete the old value holds";
  EXPECT_EQ(mirror.revision(), 3u);
  mirror.complete();
  EXPECT_EQ(told(), (Told{"b=2", "c-"}));
  EXPECT_EQ(mirror.size(), 2u);
  EXPECT_EQ(mirror.revision(), 5u);
}

TEST_F(BucketMirrorTest, another_stream_replaces_everything_even_at_equal_revisions) {
  mirror.begin_load(0, BucketMirror::Load::anew);
  put("a", "old", 1);
  put("b", "old", 2);
  mirror.complete();
  told();
  mirror.begin_load(1, BucketMirror::Load::anew);
  EXPECT_FALSE(mirror.ready());
  EXPECT_EQ(mirror.revision(), 0u);
  put("a", "new", 1);
  mirror.complete();
  EXPECT_TRUE(mirror.ready());
  EXPECT_EQ(told(), (Told{"a=new", "b-"}));
  EXPECT_EQ(mirror.find("a")->value, "new");
}

TEST_F(BucketMirrorTest, load_that_broke_off_is_not_taken_for_complete) {
  mirror.begin_load(3, BucketMirror::Load::anew);
  put("a", "1", 1);
  EXPECT_TRUE(mirror.loading());
  mirror.begin_load(3, BucketMirror::Load::again);
  put("b", "1", 2);
  mirror.complete();
  EXPECT_EQ(mirror.find("a"), nullptr);
  EXPECT_EQ(mirror.size(), 1u);
}

TEST_F(BucketMirrorTest, nobody_is_told_after_mute) {
  mirror.begin_load(0, BucketMirror::Load::anew);
  mirror.mute();
  put("a", "1", 1);
  mirror.complete();
  EXPECT_TRUE(told().empty());
}

}  // namespace
}  // namespace intra365::nats
