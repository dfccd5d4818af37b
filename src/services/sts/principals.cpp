// Who may log in: people, Mates, their keys, and the tenants they belong to.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "contract/errors.hpp"
#include "services/sts/secrets.hpp"
#include "services/sts/sts.hpp"

namespace intra365::services::sts {
namespace {

constexpr postgres::Query tenant_list_page{"auth_tenant_list",
                                           "select tenant_id, account, created_at from intra365.tenants "
                                           "where tenant_id > $1 order by tenant_id limit $2"};

Result<void> check_name(std::string_view name) {
  if (roles::is_reserved_name(name))
    return fail(errors::name_taken, "'" + std::string(name) + "' is a name of the platform");
  return {};
}

Result<std::vector<std::string>> check_role(const std::optional<std::string>& role,
                                            std::string_view otherwise) {
  const auto chosen = role.value_or(std::string(otherwise));
  if (!roles::is_assignable(chosen))
    return fail(errors::bad_role, "'" + chosen.substr(0, 64) +
                                      "' is not one of mate, user, operator, privacy-officer, change-reader");
  std::vector<std::string> held{chosen};
  if (chosen != otherwise) held.emplace_back(otherwise);
  return held;
}

/// The last key of a full page is the cursor of the next one.
template <class Item, class Key>
std::optional<std::string> next_cursor(const std::vector<Item>& items, int limit, Key key) {
  if (items.size() < static_cast<std::size_t>(limit)) return std::nullopt;
  return std::invoke(key, items.back()).str();
}

/// Written whole or not at all, for the owner's eyes only.
Result<void> write_secret_file(const std::string& file, std::string_view text) {
  const auto temporary = file + ".new";
  const int descriptor = ::open(temporary.c_str(), O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
  if (descriptor < 0) return fail(platform::errors::bad_secret_file, "cannot write " + file);
  const bool written = ::write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(descriptor) == 0;
  ::close(descriptor);
  if (!written || ::rename(temporary.c_str(), file.c_str()) != 0)
    return fail(platform::errors::bad_secret_file, "cannot write " + file);
  return {};
}

}  // namespace

Task<auth::UserCreateReply> Sts::user_create(const Caller& caller, const auth::UserCreateRequest& request) {
  CO_CHECK(check_name(request.name.str()));
  CO_TRY(auto held, check_role(request.role, roles::user));
  if (request.display_name && request.display_name->size() > 200)
    co_return fail(intra365::errors::bad_value, "displayName: at most 200 bytes");
  if (request.country && request.country->size() != 2)
    co_return fail(intra365::errors::bad_value, "country: two letters, ISO 3166-1");
  const auto key = ApiKeyText::create();
  NewPrincipal principal{caller.tenant,        request.name.str(), PrincipalKind::user, std::move(held),
                         request.display_name, request.country,    std::nullopt};
  CO_CHECK(co_await seal_names(principal, caller.deadline));
  NewKey details;
  CO_CHECK(co_await store_.create_principal(std::move(principal), key, std::move(details), caller.deadline));
  caller.note->resource = "user:" + request.name.str();
  co_return auth::UserCreateReply{request.name, key.text()};
}

Task<auth::MateCreateReply> Sts::mate_create(const Caller& caller, const auth::MateCreateRequest& request) {
  CO_CHECK(check_name(request.name.str()));
  CO_TRY(auto held, check_role(request.role, roles::mate));
  const auto key = ApiKeyText::create();
  NewPrincipal principal{caller.tenant, request.name.str(), PrincipalKind::mate, std::move(held),
                         std::nullopt,  std::nullopt,       std::nullopt};
  NewKey details;
  CO_CHECK(co_await store_.create_principal(std::move(principal), key, std::move(details), caller.deadline));
  caller.note->resource = "mate:" + request.name.str();
  co_return auth::MateCreateReply{request.name, key.text()};
}

Task<auth::UserListReply> Sts::user_list(const Caller& caller, const auth::UserListRequest& request) {
  auth::ListRequest paging;
  paging.limit = request.limit;
  paging.cursor = request.cursor;
  CO_TRY(const auto page, read_page(paging));
  std::optional<postgres::Bytes> wanted;
  if (request.display_name) {
    postgres::Bytes digest;
    CO_TRY(digest.value, co_await vault_->index(caller.tenant, platform::sealed::user_name,
                                                *request.display_name, caller.deadline));
    wanted = std::move(digest);
  }
  CO_TRY(auto users, co_await store_.users(caller.tenant, page, std::move(wanted), caller.deadline));
  std::vector<platform::Vault::Cell> names;
  for (auto& user : users) {
    if (user.display_name)
      names.emplace_back(platform::sealed::user_name, user.user_id.str(), *user.display_name);
  }
  CO_CHECK(co_await vault_->open(caller.tenant, std::move(names), caller.deadline));
  auto cursor = next_cursor(users, page.limit, &auth::User::user_id);
  co_return auth::UserListReply{std::move(users), std::move(cursor)};
}

Task<> Sts::seal_names(NewPrincipal& principal, SteadyTime deadline) {
  if (!principal.display_name) co_return Result<void>{};
  postgres::Bytes digest;
  CO_TRY(digest.value, co_await vault_->index(principal.tenant, platform::sealed::user_name,
                                              *principal.display_name, deadline));
  principal.name_index = std::move(digest);
  std::vector<platform::Vault::Cell> cells;
  cells.emplace_back(platform::sealed::user_name, principal.id, *principal.display_name);
  co_return co_await vault_->seal(principal.tenant, std::move(cells), deadline);
}

Task<> Sts::seal_name(const TenantId& tenant, const ApiKeyText& key, NewKey& details, SteadyTime deadline) {
  if (!details.name) co_return Result<void>{};
  std::vector<platform::Vault::Cell> cells;
  cells.emplace_back(platform::sealed::key_name, key.id, *details.name);
  co_return co_await vault_->seal(tenant, std::move(cells), deadline);
}

Task<auth::KeyCreateReply> Sts::key_create(const Caller& caller, const auth::KeyCreateRequest& request) {
  if (request.mate_id.has_value() == request.user_id.has_value())
    co_return fail(intra365::errors::bad_value, "name exactly one of mateId and userId");
  if (request.expires_at && *request.expires_at <= environment_.clock.now())
    co_return fail(intra365::errors::bad_value, "expiresAt: lies in the past");
  if (request.nkey && !crypto::is_public_key(*request.nkey, crypto::KeyKind::user))
    co_return fail(intra365::errors::bad_value, "nkey: not a public user nkey");
  const auto kind = request.mate_id ? PrincipalKind::mate : PrincipalKind::user;
  const auto principal = request.mate_id ? request.mate_id->str() : request.user_id->str();
  CO_TRY(const auto known, co_await store_.has_principal(caller.tenant, principal, kind, caller.deadline));
  if (!known) co_return fail(errors::unknown_principal);
  const auto key = ApiKeyText::create();
  NewKey details{request.name, request.nkey, request.scopes.value_or(std::vector<Scope>()),
                 request.expires_at};
  CO_CHECK(co_await seal_name(caller.tenant, key, details, caller.deadline));
  CO_CHECK(co_await store_.create_key(caller.tenant, principal, key, std::move(details), caller.deadline));
  caller.note->resource = "key:" + key.id;
  co_return auth::KeyCreateReply{ApiKeyId::trusted(key.id), key.text()};
}

Task<auth::KeyListReply> Sts::key_list(const Caller& caller, const auth::ListRequest& request) {
  CO_TRY(const auto page, read_page(request));
  CO_TRY(auto keys, co_await store_.keys(caller.tenant, page, caller.deadline));
  std::vector<platform::Vault::Cell> names;
  for (auto& key : keys) {
    if (key.name) names.emplace_back(platform::sealed::key_name, key.key_id.str(), *key.name);
  }
  CO_CHECK(co_await vault_->open(caller.tenant, std::move(names), caller.deadline));
  auto cursor = next_cursor(keys, page.limit, &auth::ApiKey::key_id);
  co_return auth::KeyListReply{std::move(keys), std::move(cursor)};
}

Task<auth::RevokeReply> Sts::key_revoke(const Caller& caller, const auth::KeyRevokeRequest& request) {
  CO_TRY(const auto revoked, co_await store_.revoke_key(caller.tenant, request.key_id, caller.deadline));
  if (!revoked) co_return fail(errors::unknown_principal);
  const auto subject = "key:" + request.key_id.str();
  caller.note->resource = subject;
  // Connections are known by principal, not by key: tokens die at once, a connection made with the key at
  // its next proof.
  co_return co_await revocations_->revoke_subject(caller.tenant, subject, subject, caller.subject(),
                                                  caller.deadline);
}

Task<std::string> Sts::create_operator(TenantId tenant, std::vector<std::string> held, SteadyTime deadline) {
  const auto key = ApiKeyText::create();
  NewPrincipal principal{tenant,
                         std::string(roles::admin_id),
                         PrincipalKind::mate,
                         std::move(held),
                         std::nullopt,
                         std::nullopt,
                         std::nullopt};
  NewKey details;
  CO_CHECK(co_await store_.create_principal(std::move(principal), key, std::move(details), deadline));
  co_return key.text();
}

Task<auth::TenantCreateReply> Sts::tenant_create(const Caller& caller,
                                                 const auth::TenantCreateRequest& request) {
  CO_CHECK(check_name(request.name.str()));
  CO_TRY(const auto account, co_await accounts_->create(request.name, caller.deadline));
  std::vector<std::string> held{std::string(roles::operator_), std::string(roles::mate)};
  CO_TRY(auto key, co_await create_operator(request.name, std::move(held), caller.deadline));
  caller.note->resource = "tenant:" + request.name.str();
  co_return auth::TenantCreateReply{request.name, account.account, std::move(key)};
}

Task<auth::TenantListReply> Sts::tenant_list(const Caller& caller, const auth::ListRequest& request) {
  CO_TRY(const auto page, read_page(request));
  postgres::Scope platform_wide;
  CO_TRY(const auto rows,
         co_await environment_.database.query(platform_wide, tenant_list_page,
                                              postgres::bind(page.after, page.limit), caller.deadline));
  CO_TRY(auto tenants, rows.as<auth::Tenant>());
  auto cursor = next_cursor(tenants, page.limit, &auth::Tenant::tenant_id);
  co_return auth::TenantListReply{std::move(tenants), std::move(cursor)};
}

/// The first start makes the tenant `default`; a start that finds the operator's key file gone makes a new
/// key.
Task<> Sts::ensure_default_tenant(SteadyTime deadline) {
  const auto tenant = TenantId::trusted("default");
  const auto& file = environment_.config.admin_key_file;
  if (!co_await accounts_->find(tenant, deadline)) {
    CO_CHECK(co_await accounts_->create(tenant, deadline));
  }
  CO_TRY(const auto has_admin,
         co_await store_.has_principal(tenant, std::string(roles::admin_id), PrincipalKind::mate, deadline));
  if (!has_admin) {
    std::vector<std::string> held{std::string(roles::operator_), std::string(roles::platform_operator),
                                  std::string(roles::mate)};
    CO_TRY(const auto key, co_await create_operator(tenant, std::move(held), deadline));
    co_return file.empty() ? Result<void>{} : write_secret_file(file, key + "\n");
  }
  if (file.empty() || ::access(file.c_str(), F_OK) == 0) co_return Result<void>{};
  const auto key = ApiKeyText::create();
  NewKey details;
  details.name = "replaces a lost admin.key";
  CO_CHECK(co_await seal_name(tenant, key, details, deadline));
  CO_CHECK(
      co_await store_.create_key(tenant, std::string(roles::admin_id), key, std::move(details), deadline));
  co_return write_secret_file(file, key.text() + "\n");
}

}  // namespace intra365::services::sts
