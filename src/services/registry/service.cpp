#include "services/registry/service.hpp"

#include <algorithm>

#include "contract/errors.hpp"
#include "services/registry/bucket.hpp"
#include "services/registry/model.hpp"
#include "services/registry/store.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> registry();
}

namespace intra365::services::registry {
namespace {

namespace wire = intra365::registry;
using platform::Caller;

/// Owned by one shard; not thread-safe.
class Registry final : public platform::Service {
 public:
  explicit Registry(platform::Environment& environment)
      : environment_(environment),
        store_(environment),
        bucket_(environment.jetstream, bucket_options(),
                [this](std::string_view event, std::string_view detail) {
                  environment_.telemetry.log.write(platform::LogLevel::warning, "registry bucket",
                                                   {{"event", event}, {"detail", detail}});
                }) {}

  std::vector<platform::BoundOperation> operations() override {
    using platform::bind;
    return {bind(wire::register_, *this, &Registry::register_mate),
            bind(wire::deregister, *this, &Registry::deregister),
            bind(wire::discover, *this, &Registry::discover), bind(wire::get, *this, &Registry::get),
            bind(wire::heartbeat, *this, &Registry::heartbeat)};
  }

  Task<> start() override { co_return environment_.tasks.spawn(bucket_.run()); }

 private:
  Task<wire::RegisterReply> register_mate(const Caller& caller, const wire::Mate& mate) {
    CO_TRY(const auto id, check_registration(caller, mate));
    caller.note->resource = "mate:" + id.str();
    co_return co_await store_.register_mate(caller.tenant, id, mate, caller.deadline);
  }

  Task<wire::DeregisterReply> deregister(const Caller& caller, const wire::MateRequest& request) {
    CO_TRY(const auto id, own_mate(caller, request.mate_id));
    caller.note->resource = "mate:" + id.str();
    CO_TRY(const auto revision, co_await store_.deregister(caller.tenant, id, caller.deadline));
    if (!revision) co_return fail(errors::unknown_mate);
    co_return wire::DeregisterReply{true, *revision};
  }

  Task<wire::DiscoverReply> discover(const Caller& caller, const wire::DiscoverRequest& request) {
    CO_CHECK(check_discovery(request));
    CO_TRY(auto found, co_await store_.discover(caller.tenant, std::nullopt, request, caller.changed_at,
                                                caller.deadline));
    wire::DiscoverReply reply;
    for (auto& one : found) {
      auto fit = rank(request, one.mate, one.text_rank, environment_.clock.now());
      one.mate.score = fit.score;
      one.mate.why = std::move(fit.why);
      reply.mates.push_back(std::move(one.mate));
    }
    std::ranges::stable_sort(reply.mates, std::ranges::greater{}, &wire::Discovered::score);
    co_return reply;
  }

  Task<wire::Discovered> get(const Caller& caller, const wire::MateRequest& request) {
    caller.note->resource = "mate:" + request.mate_id.str();
    const wire::DiscoverRequest everything;
    CO_TRY(auto found, co_await store_.discover(caller.tenant, request.mate_id, everything, caller.changed_at,
                                                caller.deadline));
    if (found.empty()) co_return fail(errors::unknown_mate);
    co_return std::move(found.front().mate);
  }

  Task<wire::HeartbeatReply> heartbeat(const Caller& caller, const wire::HeartbeatRequest& request) {
    CO_TRY(const auto id, own_mate(caller, request.mate_id));
    if (request.status && *request.status != "active" && *request.status != "degraded" &&
        *request.status != "draining") {
      co_return fail(intra365::errors::bad_value, "status: one of active, degraded, draining");
    }
    CO_TRY(const auto known, co_await store_.seen(caller.tenant, id, request.status, caller.deadline));
    co_return wire::HeartbeatReply{known, environment_.clock.now()};
  }

  platform::Environment& environment_;
  Store store_;
  cdc::Projection bucket_;
};

}  // namespace

platform::ServiceModule module() {
  return {
      .name = "registry",
      .description = "Mate registry: who is there, what they can do, how to reach them",
      .migrations = migrations::registry(),
      .make = [](platform::Environment& environment) { return std::make_unique<Registry>(environment); },
  };
}

}  // namespace intra365::services::registry
