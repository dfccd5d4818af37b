-- What every service stands on: the tenant of a transaction, and who may touch what.
--
-- `intra365.tenant` is set by the program for each transaction. Row-level security compares every row with it;
-- a statement without a tenant sees no tenant's rows. Look-ups that cannot know the tenant yet (an API key at
-- login) are functions of the owner that return exactly one row.

create function intra365.current_tenant() returns text
  language sql stable parallel safe
  as $$ select nullif(current_setting('intra365.tenant', true), '') $$;
comment on function intra365.current_tenant() is 'Tenant of this transaction; null outside of any.';

create table intra365.tenants (
  tenant_id    text primary key check (tenant_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  account      text not null unique,
  account_seed bytea not null,
  signing_seed bytea not null,
  created_at   timestamptz not null default now()
);
comment on table intra365.tenants is 'Tenants and their NATS accounts; seeds are sealed with the key-encryption key.';

-- Applies to every tenant table: `select intra365.protect('table')` after creating it.
create function intra365.protect(table_name text) returns void language plpgsql as $$
begin
  execute format('alter table intra365.%I enable row level security', table_name);
  execute format(
    'create policy tenant_rows on intra365.%I using (tenant_id = intra365.current_tenant()) with check (tenant_id = intra365.current_tenant())',
    table_name);
end $$;
revoke all on function intra365.protect(text) from public;

grant usage on schema intra365 to intra365_service;
grant select, insert, update on intra365.tenants to intra365_service;
alter default privileges in schema intra365 grant select, insert, update, delete on tables to intra365_service;
alter default privileges in schema intra365 grant usage, select on sequences to intra365_service;
