#include "services/registry/bucket.hpp"

#include <gtest/gtest.h>

namespace intra365::services::registry {
namespace {

TEST(RegistryBucket, a_mate_and_each_of_its_capabilities_have_an_entry) {
  const boost::json::object key{{"tenant_id", "acme"}, {"mate_id", "painter"}};
  const boost::json::object row{{"tenant_id", "acme"}, {"mate_id", "painter"},  {"name", "The Painter"},
                                {"type", "ai-agent"},  {"version", "1.2.0"},    {"status", "active"},
                                {"revision", 7},       {"metadata", {{"x", 1}}}};
  const auto mate = entry_of({"mates", key, &row});
  ASSERT_TRUE(mate);
  EXPECT_EQ(mate->key, "acme.painter");
  EXPECT_EQ(
      mate->value,
      R"({"mateId":"painter","name":"The Painter","type":"ai-agent","version":"1.2.0","status":"active","revision":7})");

  const boost::json::object capability{
      {"tenant_id", "acme"}, {"mate_id", "painter"}, {"capability", "image-analysis"}};
  const auto can = entry_of({"mate_capabilities", capability, &capability});
  ASSERT_TRUE(can);
  EXPECT_EQ(can->key, "acme.painter.image-analysis");
  EXPECT_EQ(can->value, R"({"mateId":"painter","capability":"image-analysis"})");

  EXPECT_FALSE(entry_of({"mates", key, nullptr})->value) << "who is gone has none";
  EXPECT_FALSE(entry_of({"policies", key, &row}));
}

}  // namespace
}  // namespace intra365::services::registry
