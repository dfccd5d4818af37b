// What publication refuses, and where it says the fault is.
#include <gtest/gtest.h>

#include "policy/compiled.hpp"
#include "policy/request.hpp"
#include "policy/snapshot.hpp"

namespace intra365::policy {
namespace {

namespace bj = boost::json;

std::string told(const std::string& text) {
  auto policy = read_policy(text);
  if (!policy) {
    EXPECT_EQ(policy.error().code, "policy.invalid");
    return policy.error().detail;
  }
  const auto valid = validate(*policy);
  if (valid) return "accepted";
  EXPECT_EQ(valid.error().code, "policy.invalid");
  return valid.error().detail;
}

std::string with_rule(const std::string& rule) {
  return R"({"name":"n","type":"t","rules":[)" + rule + "]}";
}
std::string with_fields(const std::string& fields) {
  return with_rule(R"({"effect":"allow","subjects":["mate:x"],"resources":["doc:y"],"actions":["read"])" +
                   fields + "}");
}
std::string with_condition(const std::string& entry) {
  return with_fields(",\"conditions\":{" + entry + "}");
}
std::string with_when(const std::string& source) {
  return with_fields(",\"when\":\"" + source + "\"");
}
std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

struct Refused {
  std::string document, place;
};

TEST(Validation, a_policy_of_the_mission_is_accepted) {
  EXPECT_EQ(told(R"({"policyId":"uuid","name":"Healthcare Data Sharing Policy","type":"data-access","rules":[{
    "effect":"allow","subjects":["mate:healthcare-ai"],"resources":["user:*/health-records"],"actions":["read"],
    "conditions":{"consent.granted":true,"consent.purpose":"medical-analysis","user.country":"US"}}],
    "priority":100,"active":true})"),
            "accepted");
}

TEST(Validation, a_fault_is_refused_with_its_json_pointer) {
  const std::string deep = repeated("[", 40) + repeated("]", 40);
  for (
      const auto& [document, place] : std::vector<Refused>{
          {"", "the policy: "},
          {"{", "the policy: "},
          {"[]", "/: must be an object"},
          {R"({"name":"n","type":"t","rules":[],"colour":1})", "/colour: is not a known field"},
          {R"({"name":"n","type":"t","rules":[],"name":"m"})", "the policy: "},
          {R"({"type":"t","rules":[]})", "/name: is missing"},
          {R"({"name":"","type":"t","rules":[]})", "/name: "},
          {R"({"name":"n","type":"t","rules":[],"priority":-1})", "/priority: "},
          {R"({"name":"n","type":"t","rules":[],"priority":1000001})", "/priority: "},
          {R"({"name":"n","type":"t","rules":[],"priority":1.5})", "/priority: "},
          {R"({"name":"n","type":"t","rules":[],"policyId":"a.b"})", "/policyId: "},
          {R"({"name":"n","type":"t","rules":[],"status":"live"})", "/status: "},
          {R"({"name":"n","type":"t","rules":[],"status":"draft","active":true})", "/active: "},
          {R"({"name":"n","type":"t","rules":[],"guardrail":true})", "/guardrail: "},
          {R"({"name":"n","type":"t","guardrail":true,"scope":"organisation","rules":[{"effect":"allow","subjects":["*"],"resources":["*"],"actions":["*"]}]})",
           "/rules/0/effect: "},
          {with_rule(R"({"effect":"maybe","subjects":["a:b"],"resources":["a:b"],"actions":["read"]})"),
           "/rules/0/effect: "},
          {with_rule(R"({"effect":"deny","resources":["a:b"],"actions":["read"]})"), "/rules/0/subjects: "},
          {with_rule(R"({"effect":"deny","subjects":["a:b"],"resources":["a:b"],"actions":[]})"),
           "/rules/0/actions: "},
          {with_rule(R"({"effect":"deny","subjects":["a:b"],"resources":["a:b"],"actions":["re ad"]})"),
           "/rules/0/actions/0: "},
          {with_rule(R"({"effect":"deny","subjects":["mate:a*"],"resources":["a:b"],"actions":["read"]})"),
           "/rules/0/subjects/0: '*' stands"},
          {with_rule(
               R"({"effect":"deny","subjects":["mate:a"],"resources":["a:b","a//b"],"actions":["read"]})"),
           "/rules/0/resources/1: a segment is empty"},
          {with_rule(R"({"effect":"deny","subjects":["mаte:a"],"resources":["a:b"],"actions":["read"]})"),
           "/rules/0/subjects/0: a pattern is printable ASCII"},
          {with_rule(
               R"({"effect":"deny","subjects":["mate:a"],"resources":["*/*/*/*/*/*/*/*/*"],"actions":["read"]})"),
           "/rules/0/resources/0: a pattern has at most 8 wildcards"},
          {with_rule(R"({"effect":"deny","subjects":["mate:a"],"resources":["a)" + repeated("/a", 16) +
                     R"("],"actions":["read"]})"),
           "/rules/0/resources/0: a pattern has at most 16"},
          {with_rule(R"({"effect":"deny","subjects":[")" + std::string(513, 'a') +
                     R"("],"resources":["a:b"],"actions":["read"]})"),
           "/rules/0/subjects/0: a pattern has 1 to 512"},
          {with_condition(R"("country":"US")"), "/rules/0/conditions/country: must be a path"},
          {with_condition(R"("users.country":"US")"), "/rules/0/conditions/users.country: must be a path"},
          {with_condition(R"("user..country":"US")"), "/rules/0/conditions/user..country: a name"},
          {with_condition(R"("user.a.b.c.d.e.f.g.h":1)"), "/rules/0/conditions/user.a.b.c.d.e.f.g.h: "},
          {with_condition(R"("user.a/b~c":{"like":"x"})"),
           "/rules/0/conditions/user.a~1b~0c/like: not an operator"},
          {with_condition(R"("user.age":{})"), "/rules/0/conditions/user.age: an object of operators"},
          {with_condition(R"("user.age":{"gte":"eighteen"})"),
           "/rules/0/conditions/user.age/gte: a number or a time"},
          {with_condition(R"("user.age":{"gte":true})"),
           "/rules/0/conditions/user.age/gte: a number or a time"},
          {with_condition(R"("user.age":{"in":18})"), "/rules/0/conditions/user.age/in: a list"},
          {with_condition(R"("user.age":[])"), "/rules/0/conditions/user.age: a list has 1"},
          {with_condition(R"("user.age":[1,[2]])"), "/rules/0/conditions/user.age/1: a string"},
          {with_condition(R"("user.age":{"equals":{"a":1}})"),
           "/rules/0/conditions/user.age/equals: a string"},
          {with_condition(R"("user.age":{"exists":"yes"})"),
           "/rules/0/conditions/user.age/exists: true or false"},
          {with_condition(R"("context.ip":{"cidr":"10.0.0.0/33"})"),
           "/rules/0/conditions/context.ip/cidr: an address"},
          {with_condition(R"("context.ip":{"cidr":"10.0.0.1/8"})"),
           "/rules/0/conditions/context.ip/cidr: the address"},
          {with_condition(R"("context.ip":{"cidr":["10.0.0.0/8",5]})"),
           "/rules/0/conditions/context.ip/cidr/1: "},
          {with_condition(R"("context.ip":)" + deep), "the policy: "},
          {with_fields(R"(,"when":"")"), "/rules/0/when: "},
          {with_fields(R"(,"when":5)"), "/rules/0/when: "},
          {with_when("user.age >="), "/rules/0/when: 1:12: the expression ends"},
          {with_when("usr.age > 1"), "/rules/0/when: 1:1: there is nothing named 'usr'"},
          {with_when("user.age + 1"), "/rules/0/when: 1:10: the expression gives int"},
          {with_when("1 + 'a' == 2"), "/rules/0/when: 1:3: '+' does not take (int, string)"},
          {with_when("user.name.matches('(')"), "/rules/0/when: 1:11: not a regular"},
          {with_when("nosuch(user)"), "/rules/0/when: 1:1: there is no function"},
          {with_when(repeated("(", 100) + "true" + repeated(")", 100)), "/rules/0/when: 1:65: nested deeper"},
          {with_fields(R"(,"output":[1])"), "/rules/0/output: "},
          {with_fields(R"(,"obligations":[{"id":"a","type":"dance"}])"), "/rules/0/obligations/0/type: "},
          {with_fields(R"(,"obligations":[{"id":"a","type":"custom"},{"id":"a","type":"custom"}])"),
           "/rules/0/obligations/1/id: stands twice"},
          {with_fields(R"(,"reasonUser":")" + std::string(2001, 'x') + "\""), "/rules/0/reasonUser: "},
          {R"({"name":"n","type":"t","rules":[)" + repeated("1,", 600'000) + "1]}",
           "the policy: longer than 1 MiB"},
      }) {
    EXPECT_EQ(told(document).substr(0, place.size()), place) << document.substr(0, 300) << "\n"
                                                             << told(document);
  }
}

TEST(Validation, a_set_refuses_an_id_that_stands_twice) {
  Policy one;
  one.policy_id = PolicyId::trusted("p");
  one.name = one.type = "t";
  const auto set = Snapshot::compile({one, one});
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().detail, "/1/policyId: stands twice in the set");
}

TEST(Validation, a_change_that_is_refused_leaves_the_set_as_it_was) {
  Policy good;
  good.policy_id = PolicyId::trusted("p");
  good.name = good.type = "t";
  good.rules.push_back({RuleEffect::allow, {"mate:x"}, {"doc:y"}, {"read"}, {}});
  const auto set = *Snapshot::compile({good});
  auto bad = good;
  bad.rules[0].subjects = {"mate:x*"};
  EXPECT_FALSE(set->with(bad));
  EXPECT_TRUE(set->answer({"mate:x", "read", "doc:y"}).allowed());
  EXPECT_EQ(set->rules(), 1u);
}

TEST(Request, entities_are_plain_text_or_authzen_objects) {
  const auto text = [](bj::value value) {
    const auto entity = read_entity(value, "subject");
    return entity ? entity->text : entity.error().detail;
  };
  EXPECT_EQ(text("mate:x"), "mate:x");
  EXPECT_EQ(text(bj::object{{"type", "mate"}, {"id", "x"}}), "mate:x");
  EXPECT_EQ(
      text(bj::object{{"type", "health-record"}, {"id", "u1/r1"}, {"properties", bj::object{{"a", 1}}}}),
      "health-record:u1/r1");
  for (const auto& wrong : std::vector<bj::value>{
           "mate", ":x", "mate:", "", 5, nullptr, bj::array{}, "mate:a b", "m\xd0\xb0te:x",
           bj::string(std::string_view("mate:x\0y", 8)), bj::string("mate:" + std::string(600, 'x')),
           bj::object{{"type", "mate"}}, bj::object{{"type", "mate"}, {"id", 5}},
           bj::object{{"type", "ma:te"}, {"id", "x"}}, bj::object{{"type", ""}, {"id", "x"}},
           bj::object{{"type", "mate"}, {"id", "x"}, {"properties", 1}}})
    EXPECT_FALSE(read_entity(wrong, "subject")) << bj::serialize(wrong);
}

TEST(Request, consent_cannot_be_handed_in_as_context) {
  EvaluateRequest request;
  request.action = "read";
  request.context = bj::object{{"consent", {{"granted", true}}}, {"user", {{"country", "US"}}}};
  const auto subject = read_entity("mate:x", "subject"), resource = read_entity("doc:y", "resource");
  const auto attributes = attributes_of(request, *subject, *resource);
  ASSERT_TRUE(attributes);
  EXPECT_FALSE(attributes->contains("consent"));
  EXPECT_EQ(attributes->at("user").at("country"), "US");
  EXPECT_EQ(attributes->at("mate").at("id"), "x");
  EXPECT_EQ(attributes->at("action").at("name"), "read");
}

}  // namespace
}  // namespace intra365::policy
