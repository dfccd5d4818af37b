#include "sdk/cpp/mate.hpp"

#include <algorithm>

#include "async/task_group.hpp"
#include "contract/headers.hpp"
#include "contract/reply.hpp"
#include "contract/subjects.hpp"
#include "nats/service.hpp"
#include "sdk/cpp/enforcement_point.hpp"
#include "sdk/cpp/errors.hpp"

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
    std::variant<ActionHandler, QuickHandler, StreamHandler> handler;
  };

  nats::ServiceAnswer handle(const nats::MessageView& request, std::size_t endpoint) {
    if (guard->is_certain(BootClock::now())) return handle_now(request, endpoint);
    return handle_later(nats::Message(request), endpoint);
  }

  /// Where the platform is just being asked for what has changed, for some milliseconds, the call waits for
  /// it.
  asio::awaitable<nats::ServiceReply> handle_later(nats::Message request, std::size_t endpoint) {
    const auto view = request.view();
    co_await guard->until_certain(view);
    auto answer = handle_now(view, endpoint);
    if (auto* reply = std::get_if<nats::ServiceReply>(&answer)) co_return std::move(*reply);
    co_return co_await std::get<asio::awaitable<nats::ServiceReply>>(std::move(answer));
  }

  nats::ServiceAnswer handle_now(const nats::MessageView& request, std::size_t endpoint) {
    const auto& action = actions[endpoint / 2];  // each action has a long and a short subject
    auto call = guard->check(action.guarded, request);
    if (!call) return reply_of(fail(std::move(call).error()), {});
    if (!std::holds_alternative<QuickHandler>(action.handler)) {
      auto use = guard->begin(action.guarded, *call, request);
      if (!use) return reply_of(fail(std::move(use).error()), {});
      call->use = *std::move(use);
    }
    call->payload = request.payload;
    if (const auto* quick = std::get_if<QuickHandler>(&action.handler))
      return reply_of((*quick)(*call), call->trace.trace_id());
    if (const auto* streamed = std::get_if<StreamHandler>(&action.handler)) {
      // Who names no deadline waits for a plain answer for some seconds, and for one in parts to its end.
      if (!request.headers.contains(headers::deadline_ms))
        call->deadline = now() + EnforcementPoint::kMaxCallTime;
      auto answer = writers->open(request, call->deadline, std::string(call->trace.trace_id()));
      if (!answer) return reply_of(fail(std::move(answer).error()), call->trace.trace_id());
      return answer_in_parts(*streamed, *std::move(call), *std::move(answer));
    }
    return wait_for(std::get<ActionHandler>(action.handler), *std::move(call));
  }

  asio::awaitable<nats::ServiceReply> answer_in_parts(const StreamHandler& handler, Call call,
                                                      std::shared_ptr<streaming::Writer> answer) {
    answer->forbid_with([use = call.use] { return use->permitted(); });
    const auto ended = call.use->on_end([answer](const Error& why) { answer->end(fail(why)); });
    const auto how = co_await contain(streaming::Writer::run(answer, handler(call, *answer)));
    guard->end(*call.use, answer->sent(), how);
    auto reply = reply_of(how ? Result<std::string>(std::string()) : fail(how.error()), {});
    reply.sent = true;
    co_return reply;
  }

  asio::awaitable<nats::ServiceReply> wait_for(const ActionHandler& handler, Call call) {
    // No deadline of ours: the caller stops waiting by itself, and `max_in_flight` bounds what hangs. A
    // handler that waits for others passes `deadline` on.
    auto outcome = co_await contain(while_permitted(call.use, handler(call)));
    // Nothing between the permission and the reply may wait.
    if (auto permitted = co_await contain(call.use->permitted()); !permitted) {
      guard->end(*call.use, 0, permitted);
      outcome = fail(std::move(permitted).error());
    }
    co_return reply_of(std::move(outcome), call.trace.trace_id());
  }

  /// What the actions use data for, where the description does not say it. Which scopes they need is not
  /// said: each action asks for its own, and whoever calls one need not have consented to all.
  registry::DataAccess data_access() const {
    registry::DataAccess access;
    for (const auto& action : actions) {
      const auto& purpose = action.guarded.use.purpose;
      if (purpose && std::ranges::find(access.purposes, *purpose) == access.purposes.end())
        access.purposes.push_back(*purpose);
    }
    return access;
  }

  Task<> register_self(SteadyTime) {
    auto mate = description;
    if (!mate.data_access) mate.data_access = data_access();
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
  std::optional<streaming::Writers> writers;
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
void Mate::on(Capability capability, std::string action, DataUse use, StreamHandler handler) {
  impl_->actions.push_back(
      {std::move(capability), std::move(action), {{}, std::move(use)}, std::move(handler)});
}

Task<> Mate::start(SteadyTime deadline) {
  const auto impl = impl_;
  for (const auto& action : impl->actions) {
    if (!action.guarded.use.is_whole())
      co_return fail(errors::incomplete_use, "'" + action.capability.str() + "." + action.name + "' names " +
                                                 (action.guarded.use.purpose ? "a purpose without scopes"
                                                                             : "scopes without a purpose"));
  }
  CO_CHECK(co_await impl->client.connect(deadline));
  const auto self = MateId::trusted(impl->client.id());
  impl->description.mate_id = self;

  nats::ServiceConfig service;
  service.name = self.str();
  service.version = impl->description.version;
  service.description = impl->description.description.value_or(impl->description.name);
  service.max_in_flight = AuditQueue::kMaxUses;
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
  impl->writers.emplace(impl->client.connection(), impl->tasks, self);
  CO_CHECK(impl->writers->start());
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

Task<> Call::still_permitted() const {
  if (!use) co_return Result<void>{};
  co_return co_await use->permitted();
}

Client& Mate::client() {
  return impl_->client;
}
const Enforcement& Mate::enforcement() const {
  return impl_->guard->counters();
}

}  // namespace intra365::sdk
