#include "crypto/encoding.hpp"

#include <gtest/gtest.h>

#include "base/ids.hpp"

namespace intra365::crypto {
namespace {

TEST(Encoding, base64_and_base32_give_the_texts_of_rfc_4648) {
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64url("\xfb\xff"), "-_8");
  EXPECT_EQ(base32("f"), "MY");
  EXPECT_EQ(base32("foob"), "MZXW6YQ");
  EXPECT_EQ(base32("foobar"), "MZXW6YTBOI");
}

TEST(Encoding, every_length_survives_the_way_there_and_back) {
  for (std::size_t size = 0; size < 70; ++size) {
    const std::string bytes = random_bytes(size);
    EXPECT_EQ(decode_base64url(base64url(bytes)), bytes);
    EXPECT_EQ(decode_base64(base64(bytes)), bytes);
    EXPECT_EQ(decode_base32(base32(bytes)), bytes);
    EXPECT_EQ(decode_hex(hex(bytes)), bytes);
  }
}

TEST(Encoding, decoders_accept_one_spelling_only) {
  for (const std::string_view text :
       {"Zg==", "Zg=", "Z", "Zh", "Zg ", "Zg\n", " Zg", "Z+8", "Z/8", "Zm9vYmF", "\xff\xff"})
    EXPECT_EQ(decode_base64url(text), std::nullopt) << text;
  for (const std::string_view text :
       {"Zg", "Zh==", "Zg=", "=", "==", "====", "Z===", "Zg==Zg==", "Z-8=", "Zm9v\n"})
    EXPECT_EQ(decode_base64(text), std::nullopt) << text;
  for (const std::string_view text : {"my", "MZ", "M", "MZX", "MZXW6Y", "M1", "MY======", "MY "})
    EXPECT_EQ(decode_base32(text), std::nullopt) << text;
  for (const std::string_view text : {"A0", "0", "0g", "0x00", " 00"})
    EXPECT_EQ(decode_hex(text), std::nullopt) << text;
}

TEST(Encoding, digests_give_the_published_values_for_abc) {
  EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(hex(sha512_256("abc")), "53048e2681941ef99b2e29b76b4c7dabe4c2d0c634fc6d46e0e2f13107e7af23");
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Encoding, hmac_gives_the_value_of_rfc_4231_and_knows_an_empty_key) {
  EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  const std::string before = hmac_sha256("", "text");
  hmac_sha256("another key", "text");
  EXPECT_EQ(hmac_sha256("", "text"), before);
}

TEST(Encoding, crc32_gives_its_check_value) {
  EXPECT_EQ(crc32("123456789"), 0xCBF43926U);
}

TEST(Encoding, constant_time_comparison_compares) {
  EXPECT_TRUE(equal_constant_time("", ""));
  EXPECT_TRUE(equal_constant_time("secret", "secret"));
  EXPECT_FALSE(equal_constant_time("secret", "secreT"));
  EXPECT_FALSE(equal_constant_time("secret", "secre"));
}

}  // namespace
}  // namespace intra365::crypto
