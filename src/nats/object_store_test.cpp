// The object store against a real server.
#include "nats/object_store.hpp"

#include "crypto/encoding.hpp"
#include "nats/jetstream_test_support.hpp"
#include "nats/object_wire.hpp"

namespace intra365::nats {
namespace {

using namespace testing;
using intra365::testing::NatsServer;

constexpr std::size_t kEnough = 64u << 20;

/// Bytes that repeat nowhere near a chunk's size.
std::string bytes_of(std::size_t size) {
  std::string bytes(size, '\0');
  std::uint32_t state = 1;
  for (auto& byte : bytes) byte = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
  return bytes;
}

ObjectMeta named(std::string name, std::size_t chunk = kDefaultChunkBytes) {
  ObjectMeta meta;
  meta.name = std::move(name);
  meta.max_chunk_size = chunk;
  return meta;
}

Task<> make(JetStream& jetstream, std::string name) {
  ObjectStoreConfig config;
  config.name = std::move(name);
  co_return co_await ObjectStore::ensure(jetstream, config);
}

class ObjectStoreTest : public ::testing::Test {
 protected:
  template <class Body>
  void run(Body body) {
    client.run([&](JetStream& jetstream) -> Task<> {
      CO_CHECK(co_await make(jetstream, "files"));
      ObjectStore store(jetstream, "files");
      co_return co_await body(jetstream, store);
    });
  }
  NatsServer server{"jetstream {}\n"};
  Client client{server.url()};
};

TEST_F(ObjectStoreTest, value_of_any_size_comes_back_and_old_chunks_go) {
  run([](JetStream&, ObjectStore& store) -> Task<> {
    for (const std::size_t size : {0u, 1u, 999u, 1000u, 1001u, 2'500'000u}) {
      const auto value = bytes_of(size);
      CO_TRY(const auto put, co_await store.put(named("a file/with ümlaut", 1000), value));
      CO_ASSERT(put.size == size && put.chunks == (size + 999) / 1000);
      CO_TRY(const auto got, co_await store.get_bytes("a file/with ümlaut", kEnough));
      CO_ASSERT(got == value);
    }
    CO_TRY(const auto status, co_await store.status());
    EXPECT_EQ(status.state.messages, 2501u) << "the last value's chunks and one description";
    CO_DONE;
  });
}

TEST_F(ObjectStoreTest, value_streams_in_and_out_in_pieces_of_any_size) {
  run([](JetStream&, ObjectStore& store) -> Task<> {
    const auto value = bytes_of(700'000);
    auto at = std::make_shared<std::size_t>(0);
    auto source = [&value, at]() -> Task<std::optional<std::string>> {
      return [](const std::string& value, std::size_t& at) -> Task<std::optional<std::string>> {
        if (at >= value.size()) co_return std::optional<std::string>();
        auto piece = value.substr(at, 1 + at % 9973);
        at += piece.size();
        co_return std::optional<std::string>(std::move(piece));
      }(value, *at);
    };
    CO_TRY(const auto put, co_await store.put(named("streamed"), source));
    EXPECT_EQ(put.chunks, 6u);
    EXPECT_EQ(wire::read_digest(put.digest), crypto::sha256(value));
    CO_TRY(auto reader, co_await store.get("streamed"));
    std::string got;
    std::size_t pieces = 0;
    for (;; ++pieces) {
      CO_TRY(const auto piece, co_await reader.next());
      if (!piece) break;
      got.append(piece->payload());
    }
    EXPECT_EQ(pieces, 6u);
    CO_ASSERT(got == value);
    CO_DONE;
  });
}

TEST_F(ObjectStoreTest, failed_source_changes_nothing) {
  run([](JetStream&, ObjectStore& store) -> Task<> {
    CO_CHECK(co_await store.put(named("x", 10), std::string("the first value of x")));
    int calls = 0;
    auto source = [&calls]() -> Task<std::optional<std::string>> {
      return [](int call) -> Task<std::optional<std::string>> {
        if (call > 3) co_return fail(errors::closed, "the file is gone");
        co_return std::optional<std::string>("a piece of something");
      }(++calls);
    };
    const auto failed = co_await store.put(named("x", 10), source);
    CO_ASSERT(!failed && failed.error().is(errors::closed));
    CO_TRY(const auto got, co_await store.get_bytes("x", kEnough));
    EXPECT_EQ(got, "the first value of x");
    CO_TRY(const auto status, co_await store.status());
    EXPECT_EQ(status.state.messages, 3u);
    CO_DONE;
  });
}

TEST_F(ObjectStoreTest, changed_bytes_are_noticed) {
  run([](JetStream& jetstream, ObjectStore& store) -> Task<> {
    CO_TRY(auto info, co_await store.put(named("x", 10), std::string("twenty bytes of text")));
    // A stream that somebody else wrote into: one chunk more.
    CO_CHECK(co_await jetstream.publish(wire::chunk_subject("files", info.nuid), "more"));
    const auto longer = co_await store.get_bytes("x", kEnough);
    EXPECT_TRUE(longer) << "what comes behind the size is not looked at";
    CO_CHECK(co_await jetstream.delete_message("OBJ_files", 1));
    const auto hole = co_await store.get_bytes("x", kEnough);
    CO_ASSERT(!hole && hole.error().is(errors::corrupt_object));

    CO_TRY(auto other, co_await store.put(named("y", 10), std::string("ten bytes.")));
    other.digest = wire::object_digest(crypto::sha256("something else"));
    CO_CHECK(co_await jetstream.publish(wire::meta_subject("files", "y"), wire::encode_object(other)));
    const auto wrong = co_await store.get_bytes("y", kEnough);
    CO_ASSERT(!wrong && wrong.error().is(errors::corrupt_object));
    CO_DONE;
  });
}

TEST_F(ObjectStoreTest, removed_object_leaves_a_marker_and_no_bytes) {
  run([](JetStream&, ObjectStore& store) -> Task<> {
    const auto never = co_await store.get("never");
    CO_ASSERT(!never && never.error().is(errors::not_found));
    CO_CHECK(co_await store.put(named("x", 10), bytes_of(1000)));
    CO_CHECK(co_await store.remove("x"));
    const auto gone = co_await store.get("x");
    CO_ASSERT(!gone && gone.error().is(errors::not_found));
    const auto again = co_await store.remove("x");
    CO_ASSERT(!again && again.error().is(errors::not_found));
    CO_TRY(const auto info, co_await store.info("x"));
    EXPECT_TRUE(info.deleted);
    EXPECT_EQ(info.size, 0u);
    CO_TRY(const auto status, co_await store.status());
    EXPECT_EQ(status.state.messages, 1u);
    CO_TRY(const auto list, co_await store.list());
    EXPECT_TRUE(list.empty());
    CO_DONE;
  });
}

TEST_F(ObjectStoreTest, description_headers_and_name_change_without_the_value) {
  run([](JetStream&, ObjectStore& store) -> Task<> {
    auto meta = named("old", 10);
    meta.description = "first";
    meta.headers["X-Kind"] = {"a", "b"};
    meta.metadata["owner"] = "me";
    CO_CHECK(co_await store.put(meta, std::string("the value that stays")));
    CO_CHECK(co_await store.put(named("taken"), std::string("x")));
    meta.name = "taken";
    const auto taken = co_await store.update_meta("old", meta);
    CO_ASSERT(!taken && taken.error().is(errors::exists));
    meta.name = "new";
    meta.description = "second";
    CO_CHECK(co_await store.update_meta("old", meta));
    const auto old = co_await store.info("old");
    CO_ASSERT(!old && old.error().is(errors::not_found));
    CO_TRY(const auto info, co_await store.info("new"));
    EXPECT_EQ(info.meta.description, "second");
    EXPECT_EQ(info.meta.headers.at("X-Kind"), (std::vector<std::string>{"a", "b"}));
    EXPECT_EQ(info.meta.metadata.at("owner"), "me");
    EXPECT_FALSE(info.modified.empty());
    CO_TRY(const auto got, co_await store.get_bytes("new", kEnough));
    EXPECT_EQ(got, "the value that stays");
    CO_DONE;
  });
}

TEST_F(ObjectStoreTest, link_leads_to_the_object_of_another_store) {
  run([](JetStream& jetstream, ObjectStore& store) -> Task<> {
    CO_CHECK(co_await make(jetstream, "other"));
    ObjectStore other(jetstream, "other");
    CO_TRY(const auto target, co_await other.put(named("target"), std::string("hello")));
    CO_TRY(const auto link, co_await store.link("short", target));
    CO_TRY(auto reader, co_await store.get("short"));
    EXPECT_EQ(reader.info().bucket, "other");
    CO_TRY(const auto got, co_await store.get_bytes("short", kEnough));
    EXPECT_EQ(got, "hello");
    const auto twice = co_await store.link("twice", link);
    CO_ASSERT(!twice && twice.error().is(errors::bad_object));
    CO_CHECK(co_await store.put(named("value"), std::string("x")));
    const auto over = co_await store.link("value", target);
    CO_ASSERT(!over && over.error().is(errors::bad_object));
    CO_CHECK(co_await store.link_store("all", "other"));
    const auto whole = co_await store.get("all");
    CO_ASSERT(!whole && whole.error().is(errors::bad_object));
    CO_TRY(const auto info, co_await store.info("all"));
    EXPECT_EQ(info.link->bucket, "other");
    CO_CHECK(co_await other.remove("target"));
    const auto dangling = co_await store.get("short");
    CO_ASSERT(!dangling && dangling.error().is(errors::not_found));
    CO_DONE;
  });
}

TEST_F(ObjectStoreTest, watcher_tells_what_is_there_then_nothing_then_changes) {
  run([](JetStream&, ObjectStore& store) -> Task<> {
    CO_TRY(auto empty, co_await store.watch());
    CO_TRY(const auto none, co_await empty.next(in(5s)));
    EXPECT_FALSE(none) << "an empty store ends its initial data too";
    CO_CHECK(co_await store.put(named("a"), std::string("1")));
    CO_CHECK(co_await store.put(named("b"), std::string("2")));
    CO_TRY(auto watcher, co_await store.watch());
    CO_TRY(const auto a, co_await watcher.next(in(5s)));
    CO_TRY(const auto b, co_await watcher.next(in(5s)));
    CO_TRY(const auto done, co_await watcher.next(in(5s)));
    CO_ASSERT(a && b && !done);
    EXPECT_EQ(a->meta.name + b->meta.name, "ab");
    CO_CHECK(co_await store.remove("a"));
    CO_TRY(const auto removed, co_await watcher.next(in(5s)));
    CO_ASSERT(removed && removed->deleted);
    CO_TRY(const auto first, co_await empty.next(in(5s)));
    CO_ASSERT(first && first->meta.name == "a" && !first->deleted);
    CO_TRY(const auto list, co_await store.list());
    CO_ASSERT(list.size() == 1 && list[0].meta.name == "b");
    CO_DONE;
  });
}

TEST_F(ObjectStoreTest, sealed_store_takes_nothing_more) {
  run([](JetStream& jetstream, ObjectStore& store) -> Task<> {
    CO_CHECK(co_await store.put(named("a"), std::string("1")));
    CO_CHECK(co_await store.seal());
    const auto put = co_await store.put(named("b"), std::string("2"));
    EXPECT_FALSE(put);
    CO_TRY(const auto got, co_await store.get_bytes("a", kEnough));
    EXPECT_EQ(got, "1");
    CO_CHECK(co_await ObjectStore::remove_store(jetstream, "files"));
    CO_DONE;
  });
}

TEST_F(ObjectStoreTest, too_large_a_chunk_and_bad_names_are_refused) {
  run([](JetStream& jetstream, ObjectStore& store) -> Task<> {
    const auto large = co_await store.put(named("x", 2u << 20), std::string("1"));
    CO_ASSERT(!large && large.error().is(errors::bad_object));
    const auto unnamed = co_await store.put(named(""), std::string("1"));
    CO_ASSERT(!unnamed && unnamed.error().is(errors::bad_object));
    CO_CHECK(co_await store.put(named("x"), bytes_of(100)));
    const auto small = co_await store.get_bytes("x", 99);
    CO_ASSERT(!small && small.error().is(errors::bad_object));
    ObjectStore bad(jetstream, "a.b");
    const auto refused = co_await bad.info("x");
    EXPECT_FALSE(refused);
    CO_DONE;
  });
}

TEST(ObjectWire, decodes_what_others_write_and_refuses_the_rest) {
  const auto info = wire::decode_object(
      R"({"name":"a","metadata":null,"size":"x","chunks":-1,"nuid":7,"options":{"link":{"bucket":"b"}}})");
  ASSERT_TRUE(info);
  EXPECT_EQ(info->link->bucket, "b");
  EXPECT_EQ(info->size, 0u);
  for (const auto* bad : {"", "[]", "{", "{}", R"({"name":""})", "\xff"})
    EXPECT_FALSE(wire::decode_object(bad));
  EXPECT_EQ(wire::read_digest("SHA-256=" + crypto::base64url(crypto::sha256("x"))), crypto::sha256("x"));
  EXPECT_EQ(wire::read_digest("MD5=x"), "");
}

}  // namespace
}  // namespace intra365::nats
