// Vectors: the seed bytes 00 01 … 1f in every kind, checked against the reference implementations of NATS.
#include "crypto/nkey.hpp"

#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "crypto/encoding.hpp"

namespace intra365::crypto {
namespace {

struct Vector {
  KeyKind kind;
  std::string seed, public_key;
};

const Vector kVectors[] = {
    {KeyKind::operator_, "SOAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H2AJA",
     "OAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QZVT"},
    {KeyKind::account, "SAAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HYMHI",
     "AAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3QPZV"},
    {KeyKind::user, "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y",
     "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"},
    {KeyKind::server, "SNAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H2D5U",
     "NAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RSWB"},
    {KeyKind::cluster, "SCAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4HYO7Q",
     "CAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3R53J"},
};
const Vector kCurve = {KeyKind::curve, "SXAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H74KM",
                       "XCHUBRNNW2HSKYSK4WZBJ2TWPJXMSTMCTU6XWXQ22G5G6PRBHAUF76G7"};

TEST(Nkey, seeds_of_every_kind_give_their_public_key_and_come_back) {
  for (const Vector& vector : kVectors) {
    const auto key = Nkey::from_seed(vector.seed);
    ASSERT_TRUE(key) << vector.seed;
    EXPECT_EQ(key->kind(), vector.kind);
    EXPECT_EQ(key->public_key(), vector.public_key);
    EXPECT_EQ(key->seed(), vector.seed);
  }
}

TEST(Nkey, published_pair_of_the_callout_example_holds) {
  const auto key = Nkey::from_seed("SAAHZHKC43PG6B6EP3LZ7HB3HB3JD25GSJRV5LFZE2A6XFT57SDFRSEI4E");
  ASSERT_TRUE(key);
  EXPECT_EQ(key->public_key(), "AAB35RZ7HJSICG7D4IGPYO3CTQPWWGULJXZYD45QAWUKTXJYDI6EO7MV");
}

TEST(Nkey, signature_over_hello_is_the_published_one) {
  const auto key = *Nkey::from_seed(kVectors[1].seed);
  const std::string signature = key.sign("hello");
  EXPECT_EQ(base64url(signature),
            "4af8qUqDUSeIW5ni66cz1u5b9dxGPtg4Xrbx3KoRF8DxUXUKEPRvWzeWqRIDV49wLIXGfDNLVomlFihNSZ9xDw");
  EXPECT_TRUE(verify(key.public_key(), "hello", signature));
}

TEST(Nkey, verification_refuses_other_messages_keys_and_forms) {
  const Nkey key = Nkey::generate(KeyKind::user);
  const std::string signature = key.sign("hello");
  std::string changed = signature;
  changed[63] = static_cast<char>(changed[63] ^ 1);
  EXPECT_FALSE(verify(key.public_key(), "hellO", signature));
  EXPECT_FALSE(verify(key.public_key(), "hello", changed));
  EXPECT_FALSE(verify(key.public_key(), "hello", signature.substr(1)));
  EXPECT_FALSE(verify(key.public_key(), "hello", signature + "x"));
  EXPECT_FALSE(verify(key.public_key(), "hello", ""));
  EXPECT_FALSE(verify(Nkey::generate(KeyKind::user).public_key(), "hello", signature));
  EXPECT_FALSE(verify(key.seed(), "hello", signature));
  EXPECT_FALSE(verify(kCurve.public_key, "hello", signature));
}

TEST(Nkey, keys_of_small_order_verify_nothing) {
  // With the neutral element as key, R = neutral and s = 0 satisfy the plain equation for every message.
  std::array<unsigned char, 32> neutral{1};
  const std::string signature = std::string(1, '\1') + std::string(63, '\0');
  EXPECT_FALSE(verify(encode_public_key(KeyKind::user, neutral), "any message", signature));
}

TEST(Nkey, decoding_knows_the_kind_and_the_checksum) {
  for (const Vector& vector : kVectors) {
    EXPECT_TRUE(is_public_key(vector.public_key, vector.kind));
    const auto raw = decode_public_key(vector.public_key, vector.kind);
    ASSERT_TRUE(raw);
    EXPECT_EQ(encode_public_key(vector.kind, *raw), vector.public_key);
    EXPECT_FALSE(is_public_key(vector.public_key, KeyKind::curve));
    for (std::size_t i = 0; i < vector.public_key.size(); ++i) {
      std::string wrong = vector.public_key;
      wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
      EXPECT_FALSE(is_public_key(wrong, vector.kind)) << i;
    }
  }
  EXPECT_TRUE(decode_public_key(kVectors[0].public_key, KeyKind::user).error().is(errors::bad_key));
}

TEST(Nkey, malformed_seeds_are_refused_without_repeating_them) {
  const std::string good = kVectors[2].seed;
  std::string lower = good;
  lower[5] = 'a';
  for (const std::string& text :
       {std::string(), good.substr(1), good + "A", lower, " " + good, good + "\n", kVectors[2].public_key,
        kCurve.seed, std::string(58, 'S'), std::string(1000, 'A'),
        // the private form is no seed either
        std::string("PAAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6A5BA677HTQQXYOXBXI"
                    "Y45F4BGLH4TLDBG5FBVPR3XEGMQJFKMNYJGWQ")}) {
    const auto key = Nkey::from_seed(text);
    ASSERT_FALSE(key) << text;
    EXPECT_TRUE(key.error().is(errors::bad_key));
    EXPECT_TRUE(text.size() < 10 || key.error().detail.find(text) == std::string::npos);
  }
}

TEST(Nkey, generated_keys_differ_and_can_be_moved_and_copied) {
  Nkey key = Nkey::generate(KeyKind::account);
  EXPECT_NE(key.public_key(), Nkey::generate(KeyKind::account).public_key());
  const Nkey copy = key;
  const Nkey moved = std::move(key);
  EXPECT_EQ(copy.public_key(), moved.public_key());
  EXPECT_EQ(copy.sign("x"), moved.sign("x"));
  EXPECT_EQ(moved.public_key()[0], 'A');
}

TEST(Xkey, seed_gives_its_public_key_and_comes_back) {
  const auto key = Xkey::from_seed(kCurve.seed);
  ASSERT_TRUE(key);
  EXPECT_EQ(key->public_key(), kCurve.public_key);
  EXPECT_EQ(key->seed(), kCurve.seed);
  EXPECT_FALSE(Xkey::from_seed(kVectors[0].seed));
}

TEST(Xkey, opens_the_published_box) {
  const auto key = *Xkey::from_seed(kCurve.seed);
  const std::string_view box = "baa1bceaed706db890af8c433e05fae2a10a22e4802e915b185d";
  std::string sealed = "xkv1" + std::string(24, '\x42');
  for (std::size_t i = 0; i < box.size(); i += 2)
    sealed += static_cast<char>(std::stoi(std::string(box.substr(i, 2)), nullptr, 16));
  EXPECT_EQ(*key.open(sealed, kCurve.public_key), "hello xkv1");
}

TEST(Xkey, each_side_opens_what_the_other_sealed) {
  const Xkey server = Xkey::generate();
  const Xkey service = Xkey::generate();
  for (const std::size_t size : {1, 15, 16, 17, 1000, 70'000}) {
    const std::string message(size, 'm');
    const auto sealed = service.seal(message, server.public_key());
    ASSERT_TRUE(sealed);
    EXPECT_EQ(sealed->size(), size + 44);
    EXPECT_EQ(*server.open(*sealed, service.public_key()), message);
    EXPECT_NE(*service.seal(message, server.public_key()), *sealed) << "the nonce must be new each time";
  }
}

TEST(Xkey, changed_short_and_foreign_boxes_stay_closed) {
  const Xkey server = Xkey::generate();
  const Xkey service = Xkey::generate();
  const std::string sealed = *service.seal("message", server.public_key());
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 0x20);
    EXPECT_TRUE(server.open(changed, service.public_key()).error().is(errors::bad_seal)) << i;
    EXPECT_FALSE(server.open(sealed.substr(0, i), service.public_key())) << i;
  }
  EXPECT_FALSE(server.open(sealed, server.public_key()));
  EXPECT_FALSE(Xkey::generate().open(sealed, service.public_key()));
  EXPECT_TRUE(server.open(sealed, "XABC").error().is(errors::bad_key));
  EXPECT_FALSE(service.seal(std::string((1 << 20) + 1, 'x'), server.public_key()));
}

TEST(Xkey, peers_whose_secret_anybody_knows_are_refused) {
  const Xkey key = Xkey::generate();
  const std::string zero = encode_public_key(KeyKind::curve, {});
  EXPECT_TRUE(key.seal("message", zero).error().is(errors::bad_key));
  EXPECT_TRUE(key.open(std::string("xkv1") + std::string(60, 'x'), zero).error().is(errors::bad_key));
}

TEST(Xkey, more_peers_than_are_remembered_still_work_from_several_threads) {
  const Xkey service = Xkey::generate();
  std::vector<Xkey> peers;
  for (int i = 0; i < 40; ++i) peers.push_back(Xkey::generate());
  const auto talk = [&] {
    for (int round = 0; round < 3; ++round)
      for (const Xkey& peer : peers)
        EXPECT_EQ(*peer.open(*service.seal("hello", peer.public_key()), service.public_key()), "hello");
  };
  std::thread first(talk);
  std::thread second(talk);
  first.join();
  second.join();
}

}  // namespace
}  // namespace intra365::crypto
