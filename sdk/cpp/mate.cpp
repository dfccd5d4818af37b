#include "sdk/cpp/mate.hpp"

#include "async/task_group.hpp"
#include "contract/reply.hpp"
#include "contract/subjects.hpp"
#include "nats/service.hpp"
#include "sdk/cpp/enforcement_point.hpp"

namespace intra365::sdk {
namespace {

constexpr auto kHeartbeat = std::chrono::seconds(15);

SteadyTime now() {
  return std::chrono::steady_clock::now();
}

nats::ServiceReply reply_of(Result<std::string> outcome, std::string_view trace_id) {
  if (outcome) return {*std::move(outcome), 0, {}};
  const auto& error = outcome.error();
  return {error_body(error, trace_id), http_status(error.kind), error.code};
}

}  // namespace

struct Mate::Impl {
  Impl(asio::any_io_executor executor, ClientOptions options, registry::Mate description_)
      : description(std::move(description_)),
        tasks(executor, "mate", 64),
        client(executor, std::move(options)) {}

  struct Action {
    Capability capability;
    std::string name;
    GuardedAction guarded;
    std::variant<ActionHandler, QuickHandler> handler;
  };

  nats::ServiceAnswer handle(const nats::MessageView& request, std::size_t endpoint) {
    const auto& action = actions[endpoint / 2];  // each action has a long and a short subject
    auto call = guard->check(action.guarded, request);
    if (!call) return reply_of(fail(std::move(call).error()), {});
    call->payload = request.payload;
    if (const auto* quick = std::get_if<QuickHandler>(&action.handler))
      return reply_of((*quick)(*call), call->trace.trace_id());
    return wait_for(std::get<ActionHandler>(action.handler), *std::move(call));
  }

  static asio::awaitable<nats::ServiceReply> wait_for(const ActionHandler& handler, Call call) {
    // No timer of ours: the caller stops waiting by itself, `max_in_flight` bounds what hangs, and a timer
    // for each call would cost more than all the checks. A handler that waits for others passes `deadline`
    // on.
    auto outcome = co_await contain(handler(call));
    co_return reply_of(std::move(outcome), call.trace.trace_id());
  }

  Task<> register_self(SteadyTime) {
    auto mate = description;
    CO_CHECK(co_await client.call(registry::register_, std::move(mate)));
    co_return Result<void>{};
  }

  Task<> keep_alive() {
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    while (cancelled.cancelled() == asio::cancellation_type::none) {
      co_await sleep_for(kHeartbeat);
      registry::HeartbeatRequest request;
      const auto reply = co_await client.call(registry::heartbeat, std::move(request));
      if (reply && !reply->known) co_await register_self(now());
    }
    co_return Result<void>{};
  }

  registry::Mate description;
  TaskGroup tasks;
  Client client;
  std::vector<Action> actions;
  std::optional<EnforcementPoint> guard;
  std::optional<nats::Service> service;
};

Mate::Mate(asio::any_io_executor executor, ClientOptions options, registry::Mate description)
    : impl_(std::make_shared<Impl>(executor, std::move(options), std::move(description))) {}
Mate::~Mate() = default;

void Mate::on(Capability capability, std::string action, DataUse use, ActionHandler handler) {
  impl_->actions.push_back(
      {std::move(capability), std::move(action), {{}, std::move(use)}, std::move(handler)});
}
void Mate::on(Capability capability, std::string action, DataUse use, QuickHandler handler) {
  impl_->actions.push_back(
      {std::move(capability), std::move(action), {{}, std::move(use)}, std::move(handler)});
}

Task<> Mate::start(SteadyTime deadline) {
  const auto impl = impl_;
  CO_CHECK(co_await impl->client.connect(deadline));
  const auto self = MateId::trusted(impl->client.id());
  impl->description.mate_id = self;

  nats::ServiceConfig service;
  service.name = self.str();
  service.version = impl->description.version;
  service.description = impl->description.description.value_or(impl->description.name);
  service.max_in_flight = 4096;
  boost::json::array offered;
  for (auto& action : impl->actions) {
    action.guarded.resource = "mate:" + self.str() + "/" + action.capability.str() + "/" + action.name;
    for (const auto& subject : {action.capability.str() + "." + action.name, action.name}) {
      nats::EndpointConfig endpoint;
      endpoint.name = subject == action.name ? action.name : action.capability.str() + "-" + action.name;
      endpoint.subject = subjects::mate(self, subject);
      offered.emplace_back(endpoint.subject);
      service.endpoints.push_back(std::move(endpoint));
    }
  }
  if (!impl->description.endpoints.is_object()) impl->description.endpoints = boost::json::object();
  impl->description.endpoints.get_object()["nats.subjects"] = std::move(offered);

  // The order matters: a Mate that can be found must be able to decide, and one that decides must be fed.
  impl->guard.emplace(impl->client, impl->tasks);
  CO_CHECK(co_await impl->guard->start(deadline));
  impl->service.emplace(impl->client.connection(), std::move(service),
                        [raw = impl.get()](const nats::MessageView& request, std::size_t endpoint) {
                          return raw->handle(request, endpoint);
                        });
  CO_CHECK(impl->service->start());
  CO_CHECK(co_await impl->client.connection().flush(deadline));
  CO_CHECK(co_await impl->register_self(deadline));
  co_return impl->tasks.spawn(impl->keep_alive());
}

Task<> Mate::stop(SteadyTime deadline) {
  const auto impl = impl_;
  registry::MateRequest request;
  request.mate_id = MateId::trusted(impl->client.id());
  co_await impl->client.call(registry::deregister, std::move(request));
  if (impl->service) co_await impl->service->drain(deadline);
  Result<void> recorded;
  if (impl->guard) recorded = co_await impl->guard->flush(deadline);
  impl->tasks.cancel();
  co_await impl->tasks.join(deadline);
  co_await impl->client.drain(deadline);
  co_return recorded;
}

Client& Mate::client() {
  return impl_->client;
}
const Enforcement& Mate::enforcement() const {
  return impl_->guard->counters();
}

}  // namespace intra365::sdk
