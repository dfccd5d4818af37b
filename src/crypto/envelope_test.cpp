#include "crypto/envelope.hpp"

#include <gtest/gtest.h>

#include "base/ids.hpp"

namespace intra365::crypto {
namespace {

TEST(Envelope, opens_what_it_sealed_for_the_same_row) {
  const Envelope envelope(random_bytes(32));
  for (const std::string& plain : {std::string(), std::string("seed"), std::string(5000, 's')}) {
    const std::string sealed = envelope.seal(plain, "signing_keys/7/acme");
    EXPECT_EQ(*envelope.open(sealed, "signing_keys/7/acme"), plain);
  }
}

TEST(Envelope, stays_closed_for_another_row_key_or_changed_bytes) {
  const Envelope envelope(random_bytes(32));
  const std::string sealed = envelope.seal("seed", "signing_keys/7/acme");
  EXPECT_TRUE(envelope.open(sealed, "signing_keys/8/acme").error().is(errors::bad_envelope));
  EXPECT_FALSE(envelope.open(sealed, ""));
  EXPECT_FALSE(Envelope(random_bytes(32)).open(sealed, "signing_keys/7/acme"));
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    std::string changed = sealed;
    changed[i] = static_cast<char>(changed[i] ^ 1);
    EXPECT_FALSE(envelope.open(changed, "signing_keys/7/acme")) << i;
    EXPECT_FALSE(envelope.open(sealed.substr(0, i), "signing_keys/7/acme")) << i;
  }
}

TEST(Envelope, the_same_secret_is_never_sealed_to_the_same_bytes) {
  const Envelope envelope(random_bytes(32));
  EXPECT_NE(envelope.seal("seed", "row"), envelope.seal("seed", "row"));
}

}  // namespace
}  // namespace intra365::crypto
