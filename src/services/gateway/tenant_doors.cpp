#include "services/gateway/tenant_doors.hpp"

#include "contract/operations/auth.hpp"

namespace intra365::services::gateway {

Task<nats::Connection*> TenantDoors::open(TenantId tenant, SteadyTime deadline) {
  auto& door = doors_[tenant];
  if (!door) {
    auto options =
        platform::connection_options(environment_.config, {}, "intra365-gateway", environment_.telemetry);
    options.inbox_prefix = "_INBOX_" + std::string(roles::gateway_id);
    options.credentials = [this, tenant] { return credentials(tenant); };
    door = std::make_unique<nats::Connection>(environment_.executor, std::move(options));
    auto connected = co_await door->connect(deadline);
    if (!connected) {
      doors_.erase(tenant);
      co_return fail(std::move(connected).error());
    }
  }
  co_return door.get();
}

Task<nats::Credentials> TenantDoors::credentials(TenantId tenant) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  auth::DelegateTokenRequest request;
  request.tenant = tenant;
  CO_TRY(auto reply,
         co_await services_.call(auth::delegate_token, tenant, request, TraceContext::create(), deadline));
  nats::Credentials result;
  result.user = "token";
  result.pass = std::move(reply.token);
  co_return result;
}

Task<> TenantDoors::close(SteadyTime deadline) {
  for (auto& [tenant, door] : doors_) {
    if (door) co_await door->drain(deadline);
  }
  doors_.clear();
  co_return Result<void>{};
}

}  // namespace intra365::services::gateway
