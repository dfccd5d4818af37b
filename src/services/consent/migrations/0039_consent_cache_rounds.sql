-- When the consent cache was last compared with the truth, and what was found. One row: instances take turns by it.

create table intra365.consent_cache_rounds (
  id          int primary key default 1 check (id = 1),
  started_at  timestamptz not null,
  finished_at timestamptz,
  checked     bigint not null default 0,
  missing     bigint not null default 0,
  altered     bigint not null default 0,
  unknown     bigint not null default 0
);
insert into intra365.consent_cache_rounds (started_at) values ('-infinity');
revoke insert, delete on intra365.consent_cache_rounds from intra365_service;
comment on table intra365.consent_cache_rounds is 'The last comparison of the consent cache with the truth.';

-- Tenants with consents, after one of them; names only.
create function intra365.tenants_with_consents(after_tenant text, at_most int) returns table (tenant_id text)
  language sql stable security definer set search_path = pg_catalog, intra365 as $$
  select t.tenant_id from intra365.tenants t where t.tenant_id > after_tenant
     and exists (select 1 from intra365.consent_records r where r.tenant_id = t.tenant_id) order by 1 limit at_most
$$;
revoke all on function intra365.tenants_with_consents(text, int) from public;
grant execute on function intra365.tenants_with_consents(text, int) to intra365_service;
