-- What was decided, for whom and why: added to, never changed.

create table intra365.audit_logs (
  tenant_id   text not null,
  entry_id    text not null,
  at          timestamptz not null,
  source      text not null,
  actor       text not null,
  action      text not null,
  resource    text not null,
  outcome     text not null,
  code        text,
  user_id     text,
  consent_id  text,
  purpose     text,
  scopes      text[] not null default '{}',
  trace_id    text,
  count       bigint not null default 1,
  duration_us bigint,
  primary key (tenant_id, at, entry_id)
) partition by range (at);
create table intra365.audit_logs_default partition of intra365.audit_logs default;
create index audit_logs_by_trace on intra365.audit_logs (tenant_id, trace_id) where trace_id is not null;
create index audit_logs_by_actor on intra365.audit_logs (tenant_id, actor, at);
create index audit_logs_by_user on intra365.audit_logs (tenant_id, user_id, at) where user_id is not null;
select intra365.protect('audit_logs');
select intra365.protect('audit_logs_default');
revoke update, delete on intra365.audit_logs, intra365.audit_logs_default from intra365_service;
comment on table intra365.audit_logs is 'Security and compliance audit trail.';

create table intra365.data_access_logs (
  tenant_id  text not null,
  entry_id   text not null,
  at         timestamptz not null,
  user_id    text not null,
  actor      text not null,
  resource   text not null,
  consent_id text,
  purpose    text,
  scopes     text[] not null default '{}',
  outcome    text not null,
  trace_id   text,
  count      bigint not null default 1,
  primary key (tenant_id, at, entry_id)
) partition by range (at);
create table intra365.data_access_logs_default partition of intra365.data_access_logs default;
create index data_access_logs_by_user on intra365.data_access_logs (tenant_id, user_id, at);
select intra365.protect('data_access_logs');
select intra365.protect('data_access_logs_default');
revoke update, delete on intra365.data_access_logs, intra365.data_access_logs_default from intra365_service;
comment on table intra365.data_access_logs is 'Record of all data access events.';

-- One batch of the audit stream: a JSON array of {tenant, entry}. The feeder writes for every tenant and may
-- do nothing else, so this function of the owner is its only way in.
create function intra365.append_audit(batch jsonb) returns bigint
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare added bigint;
begin
  with entries as (
    select r ->> 'tenant' as tenant_id, e.*
      from jsonb_array_elements(batch) as r,
           jsonb_to_record(r -> 'entry') as e("entryId" text, at timestamptz, source text, actor text, action text, resource text, outcome text, code text,
             "userId" text, "consentId" text, purpose text, scopes text[], "traceId" text, count bigint, "durationUs" bigint)
  ), logged as (
    insert into intra365.audit_logs
      select tenant_id, "entryId", at, source, actor, action, resource, outcome, code, "userId", "consentId", purpose, coalesce(scopes, '{}'), "traceId",
             coalesce(count, 1), "durationUs" from entries
      on conflict do nothing returning 1
  ), accessed as (
    insert into intra365.data_access_logs
      select tenant_id, "entryId", at, "userId", actor, resource, "consentId", purpose, coalesce(scopes, '{}'), outcome, "traceId", coalesce(count, 1)
        from entries where action = 'call' and "userId" is not null
      on conflict do nothing returning 1
  )
  select count(*) into added from logged;
  return added;
end $$;
revoke all on function intra365.append_audit(jsonb) from public;
grant execute on function intra365.append_audit(jsonb) to intra365_service;

create table intra365.system_events (
  event_id   text primary key,
  at         timestamptz not null default now(),
  type       text not null,
  source     text not null,
  details    jsonb not null default '{}'
);
comment on table intra365.system_events is 'System-level events and state changes.';
