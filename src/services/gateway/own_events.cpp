// What happens to a person's own consents, as Server-Sent Events: reminders and ends among it, so that nobody
// has to ask. Each is the CloudEvent that the person hears over NATS.
#include "contract/errors.hpp"
#include "contract/subjects.hpp"
#include "guard/token.hpp"
#include "json/json.hpp"
#include "nats/queue.hpp"
#include "replica/token_replica.hpp"
#include "services/gateway/gateway.hpp"

namespace intra365::services::gateway {
namespace {

constexpr std::size_t kMaxWaiting = 1000;
/// Proxies close what is silent for long.
constexpr auto kSilence = std::chrono::seconds(15);

struct Named {
  std::string id, type;
};
BOOST_DESCRIBE_STRUCT(Named, (), (id, type))

/// The next event, nothing after a while of silence.
Task<std::optional<std::string>> next_event(std::shared_ptr<nats::MessageQueue> heard,
                                            std::shared_ptr<Stop> stop, SteadyTime until) {
  using namespace asio::experimental::awaitable_operators;
  const auto wait = std::min(until, std::chrono::steady_clock::now() + kSilence);
  auto first = co_await (contain(heard->next(wait)) || stop->wait());
  if (first.index() != 0) co_return fail(intra365::errors::stopping);
  auto& message = std::get<0>(first);
  if (message) co_return std::optional(std::string(message->payload()));
  if (message.error().is(nats::errors::timeout) && wait < until) co_return std::nullopt;
  co_return fail(std::move(message).error());
}

/// Writes until the client, the token or the time is gone. What it holds lives in its own frame: it outlives
/// the exchange.
asio::awaitable<void> tell(std::shared_ptr<nats::MessageQueue> heard, std::shared_ptr<Stop> stop,
                           replica::TokenReplica& tokens, std::string authorization, SteadyTime until,
                           http::BodyWriter& out) {
  std::string text = ": listening\n\n";
  while (co_await out.write(text)) {
    const auto event = co_await next_event(heard, stop, until);
    if (!event || !tokens.verify_header(authorization)) co_return;
    text = ":\n\n";
    if (!*event) continue;
    const auto named = json::decode<Named>(**event, json::Unknown::ignore).value_or(Named());
    text = event_text(named.type, named.id, **event);
  }
}

}  // namespace

Task<http::Response> Gateway::own_consent_events(const Exchange& exchange) {
  const std::string authorization(exchange.request.header("authorization"));
  CO_TRY(const auto* verified, environment_.tokens.verify_header(authorization));
  const auto identity = *verified;
  if (identity.kind != PrincipalKind::user) co_return fail(errors::not_yours);
  CO_TRY(const auto account, co_await environment_.tenants.account_of(identity.tenant, exchange.deadline));
  const auto heard = std::make_shared<nats::MessageQueue>(environment_.nats, kMaxWaiting);
  CO_CHECK(heard->subscribe(subjects::in_account(account, subjects::person_events(identity.id, "consent"))));
  CO_CHECK(co_await environment_.nats.flush(exchange.deadline));
  const auto left =
      std::min<std::chrono::microseconds>(kStreamTime, identity.expires_at - environment_.clock.now());
  http::Response response;
  response.content_type = content_type(PartsFormat::events);
  response.headers.emplace_back("Cache-Control", "no-store");
  response.stream = [heard, stop = stop_, &tokens = environment_.tokens, authorization,
                     until = std::chrono::steady_clock::now() + left](http::BodyWriter& out) {
    return tell(heard, stop, tokens, authorization, until, out);
  };
  co_return response;
}

}  // namespace intra365::services::gateway
