#include "platform/tenant_directory.hpp"

namespace intra365::platform {
namespace {

constexpr postgres::Query tenant_directory{"tenant_directory",
                                           "select tenant_id, account from intra365.tenants"};
constexpr auto kPauseBetweenLoads = std::chrono::milliseconds(200);

struct TenantRow {
  std::string tenant_id, account;
};
BOOST_DESCRIBE_STRUCT(TenantRow, (), (tenant_id, account))

}  // namespace

const TenantId* TenantDirectory::find(std::string_view account) const {
  const auto found = by_account_.find(std::string(account));
  return found == by_account_.end() ? nullptr : &found->second;
}

void TenantDirectory::add(const TenantId& tenant, const std::string& account) {
  by_account_.insert_or_assign(account, tenant);
  by_tenant_.insert_or_assign(tenant, account);
}

Task<TenantId> TenantDirectory::tenant_of(std::string account, SteadyTime deadline) {
  if (const auto* known = find(account)) co_return *known;
  CO_CHECK(co_await load(deadline));
  if (const auto* known = find(account)) co_return *known;
  co_return fail(errors::unknown_tenant);
}

Task<std::string> TenantDirectory::account_of(TenantId tenant, SteadyTime deadline) {
  if (const auto known = by_tenant_.find(tenant); known != by_tenant_.end()) co_return known->second;
  CO_CHECK(co_await load(deadline));
  if (const auto known = by_tenant_.find(tenant); known != by_tenant_.end()) co_return known->second;
  co_return fail(errors::unknown_tenant);
}

Task<> TenantDirectory::load(SteadyTime deadline) {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_load_) co_return Result<void>{};
  next_load_ = now + kPauseBetweenLoads;
  postgres::Scope everything;
  CO_TRY(const auto rows, co_await database_.query(everything, tenant_directory, postgres::bind(), deadline));
  CO_TRY(const auto tenants, rows.as<TenantRow>());
  for (const auto& row : tenants) add(TenantId::trusted(row.tenant_id), row.account);
  co_return Result<void>{};
}

}  // namespace intra365::platform
