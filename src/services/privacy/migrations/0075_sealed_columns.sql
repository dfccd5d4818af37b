-- Columns whose values only the platform can read: sealed with a data key of the tenant, which lies sealed itself under
-- the platform's key-encryption key. A sealed value is text, `sealed:<number of the key>:<base64url>`, and opens at its
-- place only: table, column, tenant and row belong to what is authenticated.

create table intra365.sealed_columns (
  table_name   text not null,
  column_name  text not null,
  key_column   text not null,
  keeps        text,
  index_column text,
  primary key (table_name, column_name)
);
comment on table intra365.sealed_columns is 'Which columns hold sealed values, and by what their rows are found.';
comment on column intra365.sealed_columns.keeps is 'Values that begin with this stay clear: references to what lies sealed elsewhere.';
comment on column intra365.sealed_columns.index_column is 'Holds a keyed digest of the clear value, by which equal ones are found.';
revoke insert, update, delete on intra365.sealed_columns from intra365_service;

insert into intra365.sealed_columns (table_name, column_name, key_column, keeps, index_column) values
  ('users', 'display_name', 'user_id', null, 'name_index'),
  ('api_keys', 'name', 'key_id', null, null),
  ('consent_records', 'metadata', 'consent_id', null, null),
  ('consent_history', 'evidence', 'consent_id', 'evidence:', null),
  ('privacy_requests', 'text', 'request_id', null, null),
  ('privacy_requests', 'resolution', 'request_id', null, null);

alter table intra365.users add column name_index bytea;
comment on column intra365.users.name_index is 'HMAC of the display name in small letters, under a key of the tenant.';
create index users_by_name on intra365.users (tenant_id, name_index) where name_index is not null;
insert into intra365.personal_columns values ('users', 'name_index', 'secret', 'keep', 'null');

-- Words from before that look sealed would be taken for it.
update intra365.users set display_name = ' ' || display_name where display_name like 'sealed:%';
update intra365.api_keys set name = ' ' || name where name like 'sealed:%';
update intra365.consent_history set evidence = ' ' || evidence where evidence like 'sealed:%';
update intra365.privacy_requests set text = ' ' || text where text like 'sealed:%';
update intra365.privacy_requests set resolution = ' ' || resolution where resolution like 'sealed:%';

create table intra365.tenant_keys (
  tenant_id    text not null references intra365.tenants,
  kind         text not null check (kind in ('seal', 'index')),
  number       int not null check (number between 1 and 1000000),
  sealed_key   bytea,
  made_at      timestamptz not null default now(),
  checked_at   timestamptz,
  destroyed_at timestamptz,
  primary key (tenant_id, kind, number),
  check ((sealed_key is null) = (destroyed_at is not null))
);
select intra365.protect('tenant_keys');
revoke delete on intra365.tenant_keys from intra365_service;
comment on table intra365.tenant_keys is 'Data keys of tenants, sealed with the key-encryption key. The one with the highest number seals; earlier ones open until nothing needs them.';
comment on column intra365.tenant_keys.checked_at is 'When the tenant''s values were last looked through for some that this key has not sealed.';

-- A sealed column as text, whatever its type.
create function intra365.column_text(of_table text, of_column text) returns text
  language sql stable
  return (select case format_type(a.atttypid, null) when 'jsonb' then format('case jsonb_typeof(t.%1$I) when ''null'' then null when ''string'' then t.%1$I #>> ''{}'' else t.%1$I::text end', a.attname)
                      else format('t.%I', a.attname) end
            from pg_attribute a where a.attrelid = ('intra365.' || quote_ident(of_table))::regclass and a.attname = of_column and not a.attisdropped);

-- Values of one column that do not begin with `prefix`, in the order of their rows.
create function intra365.values_to_seal(for_tenant text, of_table text, of_column text, prefix text, after_key text, at_most int)
  returns table (key text, value text) language plpgsql stable security definer set search_path = pg_catalog, intra365 as $$
declare known intra365.sealed_columns; as_text text;
begin
  select * into known from intra365.sealed_columns c where c.table_name = of_table and c.column_name = of_column;
  if intra365.current_tenant() is distinct from for_tenant or known is null then
    raise exception 'values of another tenant, or of a column that is not sealed' using errcode = 'insufficient_privilege';
  end if;
  as_text := intra365.column_text(of_table, of_column);
  return query execute format('select t.%1$I, %2$s from intra365.%3$I t where t.tenant_id = $1 and t.%1$I > $2 and not starts_with(%2$s, $3)
      and ($4 is null or not starts_with(%2$s, $4)) order by t.%1$I limit $5', known.key_column, as_text, of_table)
    using for_tenant, after_key, prefix, known.keeps, at_most;
end $$;

-- Puts the sealed value where the other one still stands. False: it has changed meanwhile, or its row has gone.
create function intra365.seal_value(for_tenant text, of_table text, of_column text, of_key text, old_value text, new_value text, new_index bytea)
  returns boolean language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare known intra365.sealed_columns; touched bigint;
begin
  select * into known from intra365.sealed_columns c where c.table_name = of_table and c.column_name = of_column;
  if intra365.current_tenant() is distinct from for_tenant or known is null or not starts_with(new_value, 'sealed:') then
    raise exception 'values of another tenant, or of a column that is not sealed' using errcode = 'insufficient_privilege';
  end if;
  execute format('update intra365.%I t set %I = %s %s where t.tenant_id = $1 and t.%I = $2 and %s = $3', of_table, of_column,
      (select case format_type(a.atttypid, null) when 'jsonb' then 'to_jsonb($4)' else '$4' end
         from pg_attribute a where a.attrelid = ('intra365.' || quote_ident(of_table))::regclass and a.attname = of_column),
      case when known.index_column is null then '' else format(', %I = $5', known.index_column) end,
      known.key_column, intra365.column_text(of_table, of_column))
    using for_tenant, of_key, old_value, new_value, new_index;
  get diagnostics touched = row_count;
  return touched > 0;
end $$;

-- Tenants that are to be looked through now, taken for a while by whoever asks: those without a key, those with a young
-- one, since other instances may go on with the old one for a minute, and each once an hour.
create function intra365.claim_sealing(at_most int) returns table (tenant_id text)
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
begin
  return query select t.tenant_id from intra365.tenants t
    where not exists (select from intra365.tenant_keys k where k.tenant_id = t.tenant_id and k.kind = 'seal') order by 1 limit at_most;
  if not found then
    return query update intra365.tenant_keys u set checked_at = now() where (u.tenant_id, u.kind, u.number) in (
      select k.tenant_id, k.kind, k.number from intra365.tenant_keys k
       where k.kind = 'seal' and not exists (select from intra365.tenant_keys n where n.tenant_id = k.tenant_id and n.kind = k.kind and n.number > k.number)
         and (k.checked_at is null or k.checked_at < now() - case when k.made_at > now() - interval '10 minutes' then interval '10 seconds' else interval '1 hour' end)
       order by k.checked_at nulls first limit at_most for update skip locked) returning u.tenant_id;
  end if;
end $$;

-- Forgets keys that nothing is sealed with any more. Young successors: an instance may still seal with the key before.
create function intra365.destroy_keys(for_tenant text) returns bigint
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare newest intra365.tenant_keys; one record; needed boolean; destroyed bigint;
begin
  if intra365.current_tenant() is distinct from for_tenant then
    raise exception 'keys of another tenant' using errcode = 'insufficient_privilege';
  end if;
  select * into newest from intra365.tenant_keys k where k.tenant_id = for_tenant and k.kind = 'seal' order by k.number desc limit 1;
  if newest.number is null or newest.made_at > now() - interval '10 minutes' then return 0; end if;
  for one in select table_name, column_name from intra365.sealed_columns loop
    select exists (select from intra365.values_to_seal(for_tenant, one.table_name, one.column_name, 'sealed:' || newest.number || ':', '', 1)) into needed;
    if needed then return 0; end if;
  end loop;
  update intra365.tenant_keys k set sealed_key = null, destroyed_at = now()
   where k.tenant_id = for_tenant and k.kind = 'seal' and k.number < newest.number and k.destroyed_at is null;
  get diagnostics destroyed = row_count;
  return destroyed;
end $$;

revoke all on function intra365.values_to_seal, intra365.seal_value, intra365.claim_sealing, intra365.destroy_keys from public;
grant execute on function intra365.values_to_seal, intra365.seal_value, intra365.claim_sealing, intra365.destroy_keys to intra365_service;
