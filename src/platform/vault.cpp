#include "platform/vault.hpp"

#include <boost/describe.hpp>
#include <charconv>

#include "crypto/encoding.hpp"
#include "json/json.hpp"

namespace intra365::platform {
namespace {

constexpr std::size_t kMaxTenants = 10'000;
constexpr auto kKeyAge = std::chrono::seconds(60);
constexpr std::size_t kKeySize = 32;

constexpr postgres::Query keys_query{"vault_keys",
                                     "select kind, number, sealed_key from intra365.tenant_keys where "
                                     "tenant_id = $1 and sealed_key is not null order by kind, number"};
// Of two that make the same key the first one counts; both read it afterwards.
constexpr postgres::Query make_query{
    "vault_make_key",
    "insert into intra365.tenant_keys (tenant_id, kind, number, sealed_key) values ($1, $2, $3, $4::bytea)"
    " on conflict do nothing"};

struct KeyRow {
  std::string kind;
  int number = 0;
  postgres::Bytes sealed_key;
};
BOOST_DESCRIBE_STRUCT(KeyRow, (), (kind, number, sealed_key))

std::string key_context(const TenantId& tenant, std::string_view kind, int number) {
  return "tenant_keys/" + tenant.str() + "/" + std::string(kind) + "/" + std::to_string(number);
}

/// Names of tables and columns, tenants and rows hold no slash.
std::string context_of(const TenantId& tenant, const SealedColumn& column, const std::string& row) {
  return std::string(column.table) + "/" + std::string(column.column) + "/" + tenant.str() + "/" + row;
}

struct Sealed {
  int number = 0;
  std::string bytes;
};

Result<Sealed> parse(std::string_view text) {
  text.remove_prefix(sealed_prefix.size());
  Sealed sealed;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), sealed.number);
  if (error != std::errc() || end == text.data() + text.size() || *end != ':')
    return fail(errors::bad_envelope);
  auto bytes = crypto::decode_base64url(text.substr(static_cast<std::size_t>(end - text.data()) + 1));
  if (!bytes) return fail(errors::bad_envelope);
  sealed.bytes = *std::move(bytes);
  return sealed;
}

}  // namespace

Task<std::shared_ptr<const Vault::Keys>> Vault::read(TenantId tenant, SteadyTime deadline) {
  const auto now = std::chrono::steady_clock::now();
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, keys_query, postgres::bind(tenant), deadline));
  CO_TRY(const auto found, rows.as<KeyRow>());
  auto keys = std::make_shared<Keys>();
  keys->read_at = now;
  for (const auto& row : found) {
    CO_TRY(auto key, envelope_.open(row.sealed_key.value, key_context(tenant, row.kind, row.number)));
    if (key.size() != kKeySize) co_return fail(errors::bad_envelope);
    if (row.kind == "index")
      keys->index = std::move(key);
    else
      keys->seal.try_emplace(row.number, std::move(key));
  }
  co_return std::shared_ptr<const Keys>(std::move(keys));
}

Task<> Vault::make(TenantId tenant, std::string kind, int number, SteadyTime deadline) {
  const postgres::Bytes sealed{envelope_.seal(random_bytes(kKeySize), key_context(tenant, kind, number))};
  auto parameters = postgres::bind(tenant, kind, number, sealed);
  postgres::Scope scope{tenant.str()};
  CO_CHECK(co_await database_.query(scope, make_query, std::move(parameters), deadline));
  co_return Result<void>{};
}

Task<std::shared_ptr<const Vault::Keys>> Vault::keys_of(TenantId tenant, SteadyTime not_before,
                                                        SteadyTime deadline) {
  if (const auto found = known_.find(tenant); found != known_.end() && found->second->read_at >= not_before)
    co_return found->second;
  CO_TRY(auto keys, co_await read(tenant, deadline));
  if (keys->seal.empty() || keys->index.empty()) {
    if (keys->seal.empty()) CO_CHECK(co_await make(tenant, "seal", 1, deadline));
    if (keys->index.empty()) CO_CHECK(co_await make(tenant, "index", 1, deadline));
    CO_TRY(keys, co_await read(tenant, deadline));
    if (keys->seal.empty() || keys->index.empty()) co_return fail(errors::bad_envelope);
  }
  if (known_.size() >= kMaxTenants) known_.clear();
  known_.insert_or_assign(tenant, keys);
  co_return keys;
}

Task<> Vault::seal(TenantId tenant, std::vector<Cell> cells, SteadyTime deadline) {
  if (cells.empty()) co_return Result<void>{};
  CO_TRY(const auto keys, co_await keys_of(tenant, std::chrono::steady_clock::now() - kKeyAge, deadline));
  const auto& [number, key] = *keys->seal.rbegin();
  for (const auto& cell : cells) {
    const auto bytes = key.seal(*cell.value, context_of(tenant, *cell.column, cell.row));
    *cell.value = std::string(sealed_prefix) + std::to_string(number) + ":" + crypto::base64url(bytes);
  }
  co_return Result<void>{};
}

Task<> Vault::open(TenantId tenant, std::vector<Cell> cells, SteadyTime deadline) {
  std::erase_if(cells, [](const Cell& cell) { return !cell.value->starts_with(sealed_prefix); });
  if (cells.empty()) co_return Result<void>{};
  const auto begun = std::chrono::steady_clock::now();
  CO_TRY(auto keys, co_await keys_of(tenant, begun - kKeyAge, deadline));
  for (const auto& cell : cells) {
    CO_TRY(const auto sealed, parse(*cell.value));
    auto key = keys->seal.find(sealed.number);
    if (key == keys->seal.end() && keys->read_at < begun) {
      CO_TRY(keys, co_await keys_of(tenant, begun, deadline));  // made by another instance just now
      key = keys->seal.find(sealed.number);
    }
    if (key == keys->seal.end()) co_return fail(errors::bad_envelope);
    CO_TRY(*cell.value, key->second.open(sealed.bytes, context_of(tenant, *cell.column, cell.row)));
  }
  co_return Result<void>{};
}

Task<> Vault::seal(TenantId tenant, const SealedColumn& column, std::string row, boost::json::value& value,
                   SteadyTime deadline) {
  if (value.is_null()) co_return Result<void>{};
  auto text = json::encode(value);
  std::vector<Cell> cells;
  cells.emplace_back(column, std::move(row), text);
  CO_CHECK(co_await seal(std::move(tenant), std::move(cells), deadline));
  value = text;
  co_return Result<void>{};
}

Task<> Vault::open(TenantId tenant, const SealedColumn& column, std::string row, boost::json::value& value,
                   SteadyTime deadline) {
  if (!value.is_string() || !std::string_view(value.get_string()).starts_with(sealed_prefix))
    co_return Result<void>{};
  auto text = std::string(value.get_string());
  std::vector<Cell> cells;
  cells.emplace_back(column, std::move(row), text);
  CO_CHECK(co_await open(std::move(tenant), std::move(cells), deadline));
  CO_TRY(value, json::parse(text));
  co_return Result<void>{};
}

Task<std::string> Vault::index(TenantId tenant, const SealedColumn& column, std::string value,
                               SteadyTime deadline) {
  CO_TRY(const auto keys, co_await keys_of(tenant, std::chrono::steady_clock::now() - kKeyAge, deadline));
  for (auto& c : value) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  co_return crypto::hmac_sha256(keys->index, context_of(tenant, column, value));
}

Task<std::string> Vault::newest_prefix(TenantId tenant, SteadyTime deadline) {
  CO_TRY(const auto keys, co_await keys_of(std::move(tenant), std::chrono::steady_clock::now(), deadline));
  co_return std::string(sealed_prefix) + std::to_string(keys->seal.rbegin()->first) + ":";
}

Task<int> Vault::rotate(TenantId tenant, SteadyTime deadline) {
  CO_TRY(const auto keys, co_await keys_of(tenant, std::chrono::steady_clock::now(), deadline));
  CO_CHECK(co_await make(tenant, "seal", keys->seal.rbegin()->first + 1, deadline));
  CO_TRY(const auto now, co_await keys_of(tenant, std::chrono::steady_clock::now(), deadline));
  co_return now->seal.rbegin()->first;
}

}  // namespace intra365::platform
