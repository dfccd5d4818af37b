#include "cli/conversation.hpp"

#include "contract/operations/audit.hpp"
#include "contract/operations/auth.hpp"
#include "contract/operations/consent.hpp"
#include "contract/operations/policy.hpp"
#include "contract/operations/registry.hpp"
#include "streaming/reader.hpp"

namespace intra365::cli {
namespace {

constexpr ErrorCode conversation_failed{ErrorKind::internal, "conversation.failed",
                                        "A step of the conversation did not hold."};

const auto kAnalyzer = MateId::trusted("image-analyzer");
const auto kScope = Scope::trusted("image.analyze");
const auto kPurpose = Purpose::trusted("ai-assistance");
const auto kCapability = Capability::trusted("image-analysis");

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

/// What the analyzer answers, as far as it is checked.
struct Answer {
  std::string format;
  std::uint32_t width = 0, height = 0;
  std::string mean, perceptual_hash;
};
BOOST_DESCRIBE_STRUCT(Answer, (), (format, width, height, mean, perceptual_hash))

class Conversation {
 public:
  Conversation(asio::any_io_executor executor, ConversationOptions options, std::ostream& out)
      : executor_(executor), options_(std::move(options)), out_(out) {}

  Task<> play() {
    CO_CHECK(co_await step("tokens and connections", tokens()));
    CO_CHECK(co_await step("the image analyzer registers", analyzer_registers()));
    CO_CHECK(co_await step("the assistant discovers it", discover()));
    CO_CHECK(co_await step("no consent yet: verify says no, the call is refused", refused_without_consent()));
    CO_CHECK(co_await step("alice grants consent", grant()));
    CO_CHECK(co_await step("the call answers", call_answers()));
    CO_CHECK(co_await step("another answer comes in parts", parts_arrive()));
    CO_CHECK(co_await step("both audit entries are there, in one trace", both_audited()));
    CO_CHECK(co_await step("the operator holds such calls by a policy, and lets them go", held_by_policy()));
    CO_CHECK(co_await step("alice revokes in the middle of an answer: it ends, the next call is refused",
                           revoked_is_refused()));
    CO_CHECK(co_await step("an expired consent is refused", expired_is_refused()));
    CO_CHECK(co_await step("another tenant sees nothing of this", other_tenant_sees_nothing()));
    co_return Result<void>{};
  }

  Task<> leave() {
    for (auto& client : {&admin_, &alice_, &assistant_, &stranger_}) {
      if (*client) co_await (*client)->drain(now() + std::chrono::seconds(2));
    }
    co_return Result<void>{};
  }

 private:
  Task<> step(std::string name, Task<std::string> work) {
    const auto began = now();
    const auto checked = co_await contain(std::move(work));
    const auto took = std::chrono::duration<double, std::milli>(now() - began).count();
    char time[32];
    std::snprintf(time, sizeof time, "%.1f ms", took);
    ++number_;
    if (checked) {
      out_ << "  ok  " << number_ << ". " << name << ": " << *checked << " (" << time << ")" << std::endl;
      co_return Result<void>{};
    }
    out_ << "FAIL  " << number_ << ". " << name << ": " << checked.error().code << ": "
         << checked.error().detail << std::endl;
    co_return fail(conversation_failed,
                   "step " + std::to_string(number_) + ", " + name + ": " + checked.error().detail);
  }

  static Failure did_not_hold(std::string what) { return fail(conversation_failed, std::move(what)); }

  Task<std::unique_ptr<sdk::Client>> connect(std::string key, std::string name) {
    sdk::ClientOptions options;
    options.nats_url = options_.nats_url;
    options.ca_file = options_.ca_file;
    options.api_key = std::move(key);
    options.name = std::move(name);
    auto client = std::make_unique<sdk::Client>(executor_, std::move(options));
    CO_CHECK(co_await client->connect(now() + std::chrono::seconds(10)));
    co_return std::move(client);
  }

  /// A key for an identity: a new one, or one more for an identity of an earlier run.
  Task<std::string> key_of_mate(MateId mate) {
    auth::MateCreateRequest request;
    request.name = mate;
    const auto made = co_await admin_->call(auth::mate_create, std::move(request));
    if (made) co_return made->api_key;
    auth::KeyCreateRequest more;
    more.mate_id = mate;
    CO_TRY(const auto key, co_await admin_->call(auth::key_create, std::move(more)));
    co_return key.api_key;
  }

  Task<std::string> key_of_user(UserId user) {
    auth::UserCreateRequest request;
    request.name = user;
    request.country = "US";
    const auto made = co_await admin_->call(auth::user_create, std::move(request));
    if (made) co_return made->api_key;
    auth::KeyCreateRequest more;
    more.user_id = user;
    CO_TRY(const auto key, co_await admin_->call(auth::key_create, std::move(more)));
    co_return key.api_key;
  }

  Task<std::string> tokens() {
    CO_TRY(admin_, co_await connect(options_.admin_key, "conversation-operator"));
    CO_TRY(analyzer_key_, co_await key_of_mate(kAnalyzer));
    CO_TRY(const auto assistant_key, co_await key_of_mate(MateId::trusted("assistant")));
    CO_TRY(const auto alice_key, co_await key_of_user(UserId::trusted("alice")));
    CO_TRY(assistant_, co_await connect(assistant_key, "conversation-assistant"));
    CO_TRY(alice_, co_await connect(alice_key, "conversation-alice"));
    auth::ValidateRequest question;
    question.token = assistant_->access_token();
    CO_TRY(const auto valid, co_await admin_->call(auth::token_validate, std::move(question)));
    if (!valid.active || valid.sub != "mate:assistant")
      co_return did_not_hold("the assistant's token is not active");
    // What was granted in an earlier run must not help this one.
    consent::RevokeRequest everything;
    everything.mate_id = kAnalyzer;
    static_cast<void>(co_await alice_->call(consent::revoke, std::move(everything)));
    co_return "operator, assistant and alice hold tokens of tenant " + assistant_->tenant().str();
  }

  Task<std::string> analyzer_registers() {
    CO_CHECK(co_await options_.start_analyzer(analyzer_key_));
    const auto deadline = now() + std::chrono::seconds(15);
    while (now() < deadline) {
      registry::MateRequest request;
      request.mate_id = kAnalyzer;
      const auto found = co_await admin_->call(registry::get, std::move(request));
      if (found) co_return "revision " + std::to_string(found->revision) + ", a process of its own";
      co_await sleep_for(std::chrono::milliseconds(20));
    }
    co_return did_not_hold("it did not register within 15 s");
  }

  Task<std::string> discover() {
    registry::DiscoverRequest request;
    request.capability = kCapability;
    CO_TRY(const auto found, co_await assistant_->call(registry::discover, std::move(request)));
    if (found.mates.empty() || found.mates.front().mate_id != kAnalyzer)
      co_return did_not_hold("the image analyzer was not found");
    co_return "image-analysis is offered by " + found.mates.front().mate_id.str() + " " +
        found.mates.front().version;
  }

  Task<consent::VerifyReply> verify(sdk::CallOptions options) {
    consent::VerifyRequest question;
    question.user_id = UserId::trusted("alice");
    question.mate_id = kAnalyzer;
    question.scopes = {kScope};
    question.purpose = kPurpose;
    co_return co_await assistant_->call(consent::verify, std::move(question), std::move(options));
  }

  Task<std::string> call(sdk::CallOptions options) {
    options.user_id = UserId::trusted("alice");
    co_return co_await assistant_->call_mate(kAnalyzer, kCapability.str(), "analyze-image", options_.picture,
                                             std::move(options));
  }

  /// The call must be refused with this code, by the analyzer itself.
  Task<> must_be_refused(std::string code) {
    const auto answer = co_await call({});
    if (answer) co_return did_not_hold("the call was answered");
    if (answer.error().code != code)
      co_return did_not_hold("the call ended with " + answer.error().code + " instead of " + code);
    co_return Result<void>{};
  }

  Task<std::string> refused_without_consent() {
    CO_TRY(const auto answer, co_await verify({}));
    if (answer.allowed) co_return did_not_hold("verify allowed it");
    const auto refused = co_await call({});
    if (refused) co_return did_not_hold("the call was answered");
    if (!refused.error().code.starts_with("consent."))
      co_return did_not_hold("the call ended with " + refused.error().code);
    co_return "allowed=false, and the analyzer answers " + refused.error().code;
  }

  Task<consent::Consent> grant_until(std::optional<Timestamp> expires_at) {
    consent::GrantRequest request;
    request.user_id = UserId::trusted("alice");
    request.mate_id = kAnalyzer;
    request.scopes = {kScope};
    request.purposes = {kPurpose};
    request.expires_at = expires_at;
    co_return co_await alice_->call(consent::grant, std::move(request));
  }

  Task<std::string> grant() {
    CO_TRY(const auto record, co_await grant_until(std::nullopt));
    consent_id_ = record.consent_id;
    if (!record.granted) co_return did_not_hold("the record says it is not granted");
    co_return "image.analyze for ai-assistance, epoch " + std::to_string(record.epoch);
  }

  Task<std::string> call_answers() {
    sdk::CallOptions options;
    trace_id_ = options.trace.trace_id();
    CO_TRY(const auto consent, co_await verify(options));
    if (!consent.allowed || consent.consent_id != consent_id_)
      co_return did_not_hold("verify does not see the grant");
    options.consent_id = consent.consent_id;
    CO_TRY(const auto body, co_await call(std::move(options)));
    CO_TRY(const auto answer, json::decode<Answer>(body, json::Unknown::ignore));
    if (answer.width == 0 || answer.height == 0 || answer.perceptual_hash.size() != 16)
      co_return did_not_hold("the answer is empty: " + body);
    co_return answer.format + " " + std::to_string(answer.width) + "x" + std::to_string(answer.height) +
        ", mean colour " + answer.mean + ", hash " + answer.perceptual_hash;
  }

  /// One part of an answer is under way at a time: the analyzer waits until it is taken.
  Result<streaming::Reader> open_parts() {
    sdk::CallOptions options;
    options.user_id = UserId::trusted("alice");
    sdk::StreamOptions one_by_one;
    one_by_one.window = 1;
    return assistant_->stream_mate(kAnalyzer, kCapability.str(), "describe-image", options_.picture, options,
                                   one_by_one);
  }

  Task<std::string> parts_arrive() {
    CO_TRY(auto answer, open_parts());
    std::string last;
    while (true) {
      CO_TRY(auto part, co_await answer.next());
      if (!part) break;
      last = *std::move(part);
    }
    CO_TRY(const auto whole, json::decode<Answer>(last, json::Unknown::ignore));
    if (answer.parts() < 2 || whole.width == 0)
      co_return did_not_hold("the parts are not what they should be");
    co_return std::to_string(answer.parts()) + " parts, one under way at a time, the last one the whole";
  }

  Task<std::string> both_audited() {
    const auto deadline = now() + std::chrono::seconds(10);
    while (now() < deadline) {
      audit::QueryRequest request;
      request.trace_id = trace_id_;
      CO_TRY(const auto found, co_await admin_->call(audit::query, std::move(request)));
      const auto has = [&](std::string_view source, std::string_view action) {
        return std::ranges::any_of(found.entries, [&](const audit::Entry& entry) {
          return entry.source == source && entry.action == action && entry.outcome == "allowed" &&
                 entry.consent_id == consent_id_;
        });
      };
      if (has("platform", "consent.verify") && has("mate:image-analyzer", "call"))
        co_return "consent.verify by the platform, call by the analyzer, trace " + trace_id_;
      co_await sleep_for(std::chrono::milliseconds(20));
    }
    co_return did_not_hold("they did not appear within 10 s");
  }

  /// A denial beside what is in force: it wins while it is there, at every enforcement point.
  static policy::Policy hold() {
    policy::Rule rule;
    rule.effect = policy::RuleEffect::deny;
    rule.subjects = {"mate:assistant"};
    rule.resources = {"mate:image-analyzer/*"};
    rule.actions = {"call"};
    policy::Policy policy;
    policy.policy_id = PolicyId::trusted("conversation-hold");
    policy.name = "The sample conversation is on hold";
    policy.type = "mate-access";
    policy.rules = {std::move(rule)};
    return policy;
  }

  /// Calls until the outcome is as wanted; how long after `since` that was.
  Task<double> call_until(std::string code, SteadyTime since) {
    const auto bound = since + std::chrono::milliseconds(1000);  // the enforcement points' lease
    while (true) {
      const auto asked = now();
      const auto answer = co_await call({});
      const auto outcome = answer ? std::string("answered") : answer.error().code;
      if (outcome == code) break;
      if (asked > bound) co_return did_not_hold("a second later the call still ended with " + outcome);
    }
    co_return std::chrono::duration<double, std::milli>(now() - since).count();
  }

  Task<std::string> held_by_policy() {
    auto policy = hold();
    policy::PolicyRequest named;
    named.policy_id = *policy.policy_id;
    static_cast<void>(co_await admin_->call(policy::delete_, named));  // of a run that was interrupted
    CO_CHECK(co_await admin_->call(policy::create, std::move(policy)));
    const auto held = co_await call_until("policy.denied", now());
    // Whatever became of the calls, the hold must not stay.
    CO_CHECK(co_await admin_->call(policy::delete_, named));
    if (!held) co_return fail(held.error());
    CO_TRY(const auto let_go, co_await call_until("answered", now()));
    char text[96];
    std::snprintf(text, sizeof text, "policy.denied %.1f ms after the reply, answered again after %.1f ms",
                  *held, let_go);
    co_return text;
  }

  Task<std::string> revoked_is_refused() {
    CO_TRY(auto answer, open_parts());
    CO_TRY(const auto first, co_await answer.next());
    if (!first) co_return did_not_hold("the answer in parts is empty");
    consent::RevokeRequest request;
    request.consent_id = consent_id_;
    CO_TRY(const auto revoked, co_await alice_->call(consent::revoke, std::move(request)));
    const auto replied = now();
    Result<std::optional<std::string>> rest;
    do rest = co_await answer.next();
    while (rest && *rest && answer.parts() < 10);
    const auto cut = std::chrono::duration_cast<std::chrono::microseconds>(now() - replied).count();
    if (rest) co_return did_not_hold("the answer in parts went on");
    if (rest.error().code != "consent.revoked")
      co_return did_not_hold("the answer in parts ended with " + rest.error().code);
    // The push may still be under way: what is promised is the bound, so the bound is what is checked.
    const auto bound = replied + std::chrono::milliseconds(revoked.propagation.bound_ms);
    while (true) {
      const auto asked = now();
      const auto outcome = co_await must_be_refused("consent.revoked");
      if (outcome) break;
      if (asked > bound) co_return fail(outcome.error());
    }
    const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now() - replied).count();
    co_return "the answer ended after part " + std::to_string(answer.parts()) + " with consent.revoked " +
        std::to_string(cut) + " us after the reply, the call " + std::to_string(took) + " us, epoch " +
        std::to_string(revoked.epoch);
  }

  Task<std::string> expired_is_refused() {
    const auto lifetime = std::chrono::milliseconds(1500);
    CO_TRY(const auto record, co_await grant_until(system_clock().now() + lifetime));
    const auto expiry = now() + lifetime;
    CO_CHECK(co_await call_until_answered(expiry - std::chrono::milliseconds(200)));
    asio::steady_timer timer(executor_, expiry + std::chrono::milliseconds(50));
    co_await timer.async_wait(asio::use_awaitable);
    CO_CHECK(co_await must_be_refused("consent.expired"));
    co_return "answered before, consent.expired after " + format_rfc3339(*record.expires_at);
  }

  Task<> call_until_answered(SteadyTime deadline) {
    while (true) {
      const auto answer = co_await call({});
      if (answer) co_return Result<void>{};
      if (now() > deadline) co_return fail(answer.error());
      co_await sleep_for(std::chrono::milliseconds(5));
    }
  }

  Task<std::string> other_tenant_sees_nothing() {
    auth::TenantCreateRequest request;
    request.name = TenantId::trusted("guests-" + random_token(8));
    CO_TRY(const auto tenant, co_await admin_->call(auth::tenant_create, std::move(request)));
    CO_TRY(stranger_, co_await connect(tenant.api_key, "conversation-stranger"));
    registry::DiscoverRequest question;
    question.capability = kCapability;
    CO_TRY(const auto found, co_await stranger_->call(registry::discover, std::move(question)));
    if (!found.mates.empty())
      co_return did_not_hold("it sees " + std::to_string(found.mates.size()) +
                             " Mates of the default tenant");
    const auto answer =
        co_await stranger_->call_mate(kAnalyzer, kCapability.str(), "analyze-image", options_.picture, {});
    if (answer) co_return did_not_hold("its call was answered");
    auth::ValidateRequest token;
    token.token = assistant_->access_token();
    CO_TRY(const auto foreign, co_await stranger_->call(auth::token_validate, std::move(token)));
    if (foreign.active) co_return did_not_hold("a token of the default tenant counts there");
    co_return "tenant " + tenant.tenant_id.str() + " finds no Mate, and its call ends with " +
        answer.error().code;
  }

  asio::any_io_executor executor_;
  ConversationOptions options_;
  std::ostream& out_;
  int number_ = 0;
  std::string analyzer_key_, trace_id_;
  ConsentId consent_id_;
  std::unique_ptr<sdk::Client> admin_, alice_, assistant_, stranger_;
};

}  // namespace

Task<> play_conversation(asio::any_io_executor executor, ConversationOptions options, std::ostream& out) {
  Conversation conversation(executor, std::move(options), out);
  const auto outcome = co_await conversation.play();
  co_await conversation.leave();
  co_return outcome;
}

}  // namespace intra365::cli
