#include "services/registry/store.hpp"

#include "services/registry/model.hpp"

namespace intra365::services::registry {
namespace {

namespace wire = intra365::registry;
using postgres::Query;

constexpr Query mate_upsert{
    "registry_mate_upsert",
    "insert into intra365.mates as m (tenant_id, mate_id, name, type, version, endpoints, authentication, "
    "data_access, required_scopes, status,"
    " description, tags, metadata, last_seen_at)"
    " values ($1, $2, $3, $4, $5, $6::jsonb, $7::jsonb, $8::jsonb, $9::text[], $10, $11, $12::text[], "
    "$13::jsonb, now())"
    " on conflict (tenant_id, mate_id) do update set name = excluded.name, type = excluded.type, version = "
    "excluded.version,"
    " endpoints = excluded.endpoints, authentication = excluded.authentication, data_access = "
    "excluded.data_access,"
    " required_scopes = excluded.required_scopes, status = excluded.status, description = "
    "excluded.description, tags = excluded.tags,"
    " metadata = excluded.metadata, registered_at = now(), last_seen_at = now(), revision = m.revision + 1"
    " returning mate_id, registered_at, revision"};
constexpr Query capabilities_clear{
    "registry_capabilities_clear",
    "delete from intra365.mate_capabilities where tenant_id = $1 and mate_id = $2"};
constexpr Query capabilities_add{"registry_capabilities_add",
                                 "insert into intra365.mate_capabilities (tenant_id, mate_id, capability) "
                                 "select $1, $2, unnest($3::text[]) on conflict do nothing"};
constexpr Query dependencies_clear{
    "registry_dependencies_clear",
    "delete from intra365.mate_dependencies where tenant_id = $1 and mate_id = $2"};
constexpr Query dependencies_add{"registry_dependencies_add",
                                 "insert into intra365.mate_dependencies (tenant_id, mate_id, depends_on) "
                                 "select $1, $2, unnest($3::text[]) on conflict do nothing"};
constexpr Query version_seen{
    "registry_version_seen",
    "insert into intra365.mate_versions (tenant_id, mate_id, version) values ($1, $2, $3)"
    " on conflict (tenant_id, mate_id, version) do update set last_seen_at = now()"};
constexpr Query mate_delete{
    "registry_mate_delete",
    "delete from intra365.mates where tenant_id = $1 and mate_id = $2 returning revision"};
constexpr Query mate_seen{"registry_mate_seen",
                          "update intra365.mates set last_seen_at = now(), status = coalesce($3, status) "
                          "where tenant_id = $1 and mate_id = $2"};
constexpr Query mate_discover{
    "registry_discover",
    "select m.mate_id, m.name, m.type,"
    " coalesce((select array_agg(c.capability order by c.capability) from intra365.mate_capabilities c"
    "            where c.tenant_id = m.tenant_id and c.mate_id = m.mate_id), '{}') as capabilities,"
    " m.version, m.endpoints, m.authentication, m.data_access, m.status, m.description, m.tags,"
    " coalesce((select array_agg(d.depends_on order by d.depends_on) from intra365.mate_dependencies d"
    "            where d.tenant_id = m.tenant_id and d.mate_id = m.mate_id), '{}') as dependencies,"
    " m.metadata, m.registered_at, m.last_seen_at, m.revision,"
    " case when $4::text is null then 0 else ts_rank(m.search, websearch_to_tsquery('simple', $4), 32) end "
    "as text_rank"
    " from intra365.mates m where m.tenant_id = $1"
    " and ($2::text is null or m.mate_id = $2)"
    " and ($3::text is null or exists (select 1 from intra365.mate_capabilities c"
    "       where c.tenant_id = m.tenant_id and c.capability = $3 and c.mate_id = m.mate_id))"
    " and ($4::text is null or m.search @@ websearch_to_tsquery('simple', $4) or m.tags && "
    "string_to_array(lower($4), ' '))"
    " and ($5::text is null or m.version = $5 or starts_with(m.version, $5 || '.'))"
    " and ($6::text[] is null or m.tags @> $6)"
    " and ($7::text[] is null or m.required_scopes <@ $7)"
    " order by m.status = 'active' desc, text_rank desc, m.last_seen_at desc nulls last, m.mate_id limit $8"};

constexpr platform::Read mate_discover_read{mate_discover, std::chrono::seconds(1)};

struct RegisteredRow {
  MateId mate_id;
  Timestamp registered_at;
  std::uint64_t revision = 0;
};
BOOST_DESCRIBE_STRUCT(RegisteredRow, (), (mate_id, registered_at, revision))

struct RevisionRow {
  std::uint64_t revision = 0;
};
BOOST_DESCRIBE_STRUCT(RevisionRow, (), (revision))

struct MateRow {
  MateId mate_id;
  std::string name, type;
  std::vector<Capability> capabilities;
  std::string version;
  boost::json::value endpoints;
  std::optional<boost::json::value> authentication, data_access;
  std::string status;
  std::optional<std::string> description;
  std::vector<std::string> tags, dependencies;
  boost::json::value metadata;
  Timestamp registered_at;
  std::optional<Timestamp> last_seen_at;
  std::uint64_t revision = 0;
  double text_rank = 0;
};
BOOST_DESCRIBE_STRUCT(MateRow, (),
                      (mate_id, name, type, capabilities, version, endpoints, authentication, data_access,
                       status, description, tags, dependencies, metadata, registered_at, last_seen_at,
                       revision, text_rank))

template <class T>
std::optional<boost::json::value> json_of(const std::optional<T>& value) {
  return value ? std::optional(json::to_value(*value)) : std::nullopt;
}

Result<Found> found_of(MateRow row) {
  Found found;
  auto& mate = found.mate;
  mate.mate_id = std::move(row.mate_id);
  mate.name = std::move(row.name);
  mate.type = std::move(row.type);
  mate.capabilities = std::move(row.capabilities);
  mate.version = std::move(row.version);
  mate.endpoints = std::move(row.endpoints);
  if (row.authentication) {
    TRY(mate.authentication,
        json::from_value<wire::Authentication>(*row.authentication, json::Unknown::ignore));
  }
  if (row.data_access) {
    TRY(mate.data_access, json::from_value<wire::DataAccess>(*row.data_access, json::Unknown::ignore));
  }
  mate.status = std::move(row.status);
  mate.description = std::move(row.description);
  mate.tags = std::move(row.tags);
  mate.dependencies = std::move(row.dependencies);
  mate.metadata = std::move(row.metadata);
  mate.registered_at = row.registered_at;
  mate.last_seen_at = row.last_seen_at;
  mate.revision = row.revision;
  found.text_rank = row.text_rank;
  return found;
}

}  // namespace

Task<wire::RegisterReply> Store::register_mate(TenantId tenant, MateId id, wire::Mate mate,
                                               SteadyTime deadline) {
  const auto scopes = mate.data_access ? mate.data_access->required_scopes : std::vector<Scope>();
  const auto endpoints =
      mate.endpoints.is_null() ? boost::json::value(boost::json::object()) : mate.endpoints;
  std::vector<postgres::Statement> statements;
  statements.push_back({mate_upsert, postgres::bind(tenant, id, mate.name, mate.type, mate.version, endpoints,
                                                    json_of(mate.authentication), json_of(mate.data_access),
                                                    scopes, mate.status.value_or("active"), mate.description,
                                                    mate.tags, mate.metadata)});
  statements.push_back({capabilities_clear, postgres::bind(tenant, id)});
  statements.push_back({capabilities_add, postgres::bind(tenant, id, mate.capabilities)});
  statements.push_back({dependencies_clear, postgres::bind(tenant, id)});
  statements.push_back({dependencies_add, postgres::bind(tenant, id, mate.dependencies)});
  statements.push_back({version_seen, postgres::bind(tenant, id, mate.version)});
  postgres::Scope scope{tenant.str()};
  const auto results = co_await database_.atomically(scope, std::move(statements), deadline);
  if (!results && results.error().is(postgres::errors::foreign_key_violation))
    co_return fail(errors::unknown_identity);
  if (!results) co_return fail(results.error());
  CO_TRY(const auto registered, results->at(0).as<RegisteredRow>());
  if (registered.size() != 1) co_return fail(postgres::errors::bad_row);
  co_return wire::RegisterReply{registered.front().mate_id, registered.front().registered_at,
                                registered.front().revision};
}

Task<std::optional<std::uint64_t>> Store::deregister(TenantId tenant, MateId id, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows, co_await database_.query(scope, mate_delete, postgres::bind(tenant, id), deadline));
  CO_TRY(const auto deleted, rows.as_optional<RevisionRow>());
  co_return deleted ? std::optional(deleted->revision) : std::nullopt;
}

Task<std::vector<Found>> Store::discover(TenantId tenant, std::optional<MateId> id,
                                         wire::DiscoverRequest request, std::optional<SteadyTime> changed_at,
                                         SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  auto parameters = postgres::bind(tenant, id, request.capability, request.query, request.version,
                                   request.tags, request.scopes, request.limit.value_or(50));
  CO_TRY(const auto rows,
         co_await reads_.query(scope, mate_discover_read, std::move(parameters), changed_at, deadline));
  CO_TRY(auto listed, rows.as<MateRow>());
  std::vector<Found> found;
  for (auto& row : listed) {
    CO_TRY(auto one, found_of(std::move(row)));
    found.push_back(std::move(one));
  }
  co_return found;
}

Task<bool> Store::seen(TenantId tenant, MateId id, std::optional<std::string> status, SteadyTime deadline) {
  postgres::Scope scope{tenant.str()};
  CO_TRY(const auto rows,
         co_await database_.query(scope, mate_seen, postgres::bind(tenant, id, status), deadline));
  co_return rows.affected() > 0;
}

}  // namespace intra365::services::registry
