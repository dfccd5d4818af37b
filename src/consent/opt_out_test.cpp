#include "consent/opt_out.hpp"

#include <gtest/gtest.h>

namespace intra365::consent {
namespace {

TEST(OptOut, what_one_says_the_other_understands) {
  const std::vector<Purpose> purposes{Purpose::trusted("sale"), Purpose::trusted("sharing.partners")};
  const auto text = opt_out_text(purposes);
  EXPECT_EQ(text, "sale,sharing.partners");
  for (const auto* forbidden : {"sale", "sale.abroad", "sharing.partners", "sharing"})
    EXPECT_TRUE(opts_out(text, Purpose::trusted(forbidden))) << forbidden;
  for (const auto* other : {"sales", "research", "sharing.family"})
    EXPECT_FALSE(opts_out(text, Purpose::trusted(other))) << other;
  EXPECT_FALSE(opts_out("", Purpose::trusted("sale")));
  EXPECT_TRUE(opts_out(" research , sale ", Purpose::trusted("sale")));
}

TEST(OptOut, what_does_not_fit_into_a_header_forbids_everything) {
  const std::vector<Purpose> purposes(200, Purpose::trusted(std::string(60, 'x')));
  EXPECT_EQ(opt_out_text(purposes), "*");
  EXPECT_TRUE(opts_out("*", Purpose::trusted("research")));
}

}  // namespace
}  // namespace intra365::consent
