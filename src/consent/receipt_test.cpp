#include "consent/receipt.hpp"

#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "crypto/encoding.hpp"

namespace intra365::consent {
namespace {

using testing::HasSubstr;

const std::string kSalt = std::string(32, 's');

/// A chain as the database makes it.
struct Chain {
  std::vector<ChainedChange> changes;
  std::string last;

  void add(std::string_view event, std::string_view scopes, std::string_view user = "alice") {
    const auto subject = crypto::hex(crypto::sha256(kSalt + std::string(user)));
    const auto number = std::to_string(changes.size() + 1);
    auto statement =
        R"({"v" : 1, "consentId" : "c1", "subject" : ")" + subject +
        R"(", "mateId" : "reader", "event" : ")" + std::string(event) +
        R"(", "actor" : "person", "purposes" : ["analytics"], "scopes" : )" + std::string(scopes) +
        R"(, "expiresAt" : "2027-01-01T00:00:00.000000Z", "validFrom" : "2026-01-01T00:00:00.000000Z", )" +
        R"("recordedAt" : "2026-01-01T00:00:00.000001Z", "epoch" : )" + number + R"(, "revision" : )" +
        number +
        R"(, "method" : "console", "noticeVersion" : null, "evidence" : null, "supersededBy" : null, )" +
        R"("parentId" : null, "delegationDepth" : 0})";
    last = crypto::sha256(last + statement);
    changes.push_back({std::move(statement), crypto::hex(last)});
  }

  boost::json::value receipt() const {
    ChainSubject subject;
    subject.user_id = SubjectId::trusted("alice");
    subject.salt = crypto::hex(kSalt);
    auto made = make_receipt(TenantId::trusted("acme"), ConsentId::trusted("c1"), subject, changes,
                             Catalogue(), Timestamp(std::chrono::seconds(1'800'000'000)));
    EXPECT_TRUE(made) << made.error().detail;
    return made ? *made : boost::json::value();
  }
};

Chain granted_and_narrowed() {
  Chain chain;
  chain.add("granted", R"(["profile","calendar"])");
  chain.add("narrowed", R"(["profile.read"])");
  return chain;
}

std::string why(const boost::json::value& document) {
  const auto checked = check_receipt(document);
  return checked ? "holds" : checked.error().detail;
}

TEST(Receipt, proves_whose_it_is_and_what_holds_after_every_change) {
  auto chain = granted_and_narrowed();
  const auto checked = check_receipt(boost::json::parse(boost::json::serialize(chain.receipt())));
  ASSERT_TRUE(checked) << checked.error().detail;
  EXPECT_EQ(checked->user_id, SubjectId::trusted("alice"));
  EXPECT_EQ(checked->scopes, std::vector{Scope::trusted("profile.read")});
  EXPECT_EQ(checked->status, Status::active);
  EXPECT_EQ(checked->changes, 2u);
  chain.add("revoked", R"(["profile.read"])");
  EXPECT_EQ(check_receipt(chain.receipt())->status, Status::revoked);
  chain.add("resumed", R"(["profile.read"])");
  EXPECT_EQ(check_receipt(chain.receipt())->status, Status::revoked) << "nothing brings it back";
}

TEST(Receipt, every_altered_word_is_found) {
  const auto chain = granted_and_narrowed();
  auto document = chain.receipt();
  document.at("pii_types") = boost::json::array{"profile"};
  EXPECT_THAT(why(document), HasSubstr("pii_types"));
  document = chain.receipt();
  document.at("status") = "revoked";
  EXPECT_THAT(why(document), HasSubstr("status"));
  document = chain.receipt();
  document.at("pii_principal_id") = "bob";
  EXPECT_THAT(why(document), HasSubstr("another person"));
  document = chain.receipt();
  document.at("proof").at("chain").as_array().pop_back();
  EXPECT_NE(why(document), "holds");
  document = chain.receipt();
  document.at("proof").at("chain").at(0).at("statement") = chain.changes[1].statement;
  EXPECT_THAT(why(document), HasSubstr("proof.chain[0]"));
  document = chain.receipt();
  document.at("event").as_array().pop_back();
  EXPECT_THAT(why(document), HasSubstr("event"));
  EXPECT_THAT(why(boost::json::value(7)), HasSubstr("proof"));
}

TEST(Receipt, a_chain_speaks_of_one_person_and_one_consent) {
  Chain chain;
  chain.add("granted", R"(["profile"])");
  chain.add("revoked", R"(["profile"])", "bob");
  const auto made =
      make_receipt(TenantId::trusted("acme"), ConsentId::trusted("c1"), {}, chain.changes, Catalogue(), {});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().detail, HasSubstr("another person"));
}

TEST(Receipt, holds_without_the_salt_and_then_says_nothing_of_the_person) {
  const auto chain = granted_and_narrowed();
  ChainSubject erased;
  erased.user_id = SubjectId::trusted("erased-1");
  const auto made = make_receipt(TenantId::trusted("acme"), ConsentId::trusted("c1"), erased, chain.changes,
                                 Catalogue(), {});
  ASSERT_TRUE(made) << made.error().detail;
  EXPECT_THAT(boost::json::serialize(*made), testing::Not(HasSubstr("alice")));
  const auto checked = check_receipt(*made);
  ASSERT_TRUE(checked) << checked.error().detail;
  EXPECT_EQ(checked->user_id, std::nullopt);
}

TEST(Receipt, a_later_one_continues_an_earlier_one) {
  auto chain = granted_and_narrowed();
  const auto earlier = chain.receipt();
  chain.add("revoked", R"(["profile.read"])");
  EXPECT_TRUE(check_continues(chain.receipt(), earlier));
  EXPECT_FALSE(check_continues(earlier, chain.receipt()));
  Chain rewritten;
  rewritten.add("granted", R"(["profile"])");
  rewritten.add("narrowed", R"(["profile.read"])");
  EXPECT_FALSE(check_continues(rewritten.receipt(), earlier));
}

}  // namespace
}  // namespace intra365::consent
