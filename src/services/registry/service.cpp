#include "services/registry/service.hpp"

#include <algorithm>

#include "contract/errors.hpp"
#include "nats/key_value.hpp"
#include "services/registry/model.hpp"
#include "services/registry/store.hpp"

namespace intra365::migrations {
std::vector<postgres::Migration> registry();
}

namespace intra365::services::registry {
namespace {

namespace wire = intra365::registry;
using platform::Caller;

constexpr std::string_view kBucket = "mates";

/// What the bucket holds of a Mate.
struct CacheEntry {
  MateId mate_id;
  std::uint64_t revision = 0;
  std::vector<Capability> capabilities;
};
BOOST_DESCRIBE_STRUCT(CacheEntry, (), (mate_id, revision, capabilities))

/// Owned by one shard; not thread-safe.
class Registry final : public platform::Service {
 public:
  explicit Registry(platform::Environment& environment)
      : environment_(environment), store_(environment), cache_(environment.jetstream, std::string(kBucket)) {}

  std::vector<platform::BoundOperation> operations() override {
    using platform::bind;
    return {bind(wire::register_, *this, &Registry::register_mate),
            bind(wire::deregister, *this, &Registry::deregister),
            bind(wire::discover, *this, &Registry::discover), bind(wire::get, *this, &Registry::get),
            bind(wire::heartbeat, *this, &Registry::heartbeat)};
  }

  Task<> start() override {
    nats::BucketConfig bucket;
    bucket.name = kBucket;
    CO_CHECK(co_await nats::KeyValue::ensure(environment_.jetstream, bucket));
    co_return Result<void>{};
  }

 private:
  Task<wire::RegisterReply> register_mate(const Caller& caller, const wire::Mate& mate) {
    CO_TRY(const auto id, check_registration(caller, mate));
    caller.note->resource = "mate:" + id.str();
    CO_TRY(auto reply, co_await store_.register_mate(caller.tenant, id, mate, caller.deadline));
    const CacheEntry entry{id, reply.revision, mate.capabilities};
    note_cached(caller, co_await cache_.put(cache_key(caller, id), json::encode(entry)));
    co_return reply;
  }

  Task<wire::DeregisterReply> deregister(const Caller& caller, const wire::MateRequest& request) {
    CO_TRY(const auto id, own_mate(caller, request.mate_id));
    caller.note->resource = "mate:" + id.str();
    CO_TRY(const auto revision, co_await store_.deregister(caller.tenant, id, caller.deadline));
    if (!revision) co_return fail(errors::unknown_mate);
    note_cached(caller, co_await cache_.remove(cache_key(caller, id)));
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

  static std::string cache_key(const Caller& caller, const MateId& id) {
    return caller.tenant.str() + "." + id.str();
  }

  /// The cache follows the truth; it must not fail the change that is made already.
  template <class T>
  void note_cached(const Caller& caller, const Result<T>& cached) {
    if (cached) return;
    environment_.telemetry.log.write(platform::LogLevel::warning, "registry change was not cached",
                                     {{"traceId", caller.trace.trace_id()}});
  }

  platform::Environment& environment_;
  Store store_;
  nats::KeyValue cache_;
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
