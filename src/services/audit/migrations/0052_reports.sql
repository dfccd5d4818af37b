-- What reports are made of: the trail counted by the hour, and a day's sums of that, kept ready.

-- System events go with time like the other logs.
alter table intra365.system_events rename to system_events_before;
alter table intra365.system_events_before rename constraint system_events_pkey to system_events_before_pkey;
create table intra365.system_events (
  event_id text not null,
  at       timestamptz not null default now(),
  type     text not null,
  source   text not null,
  details  jsonb not null default '{}',
  primary key (at, event_id)
) partition by range (at);
create table intra365.system_events_default partition of intra365.system_events default;
create index system_events_by_type on intra365.system_events (type, at);
insert into intra365.system_events (event_id, at, type, source, details)
  select event_id, at, type, source, details from intra365.system_events_before;
drop table intra365.system_events_before;
revoke update, delete on intra365.system_events, intra365.system_events_default from intra365_service;
comment on table intra365.system_events is 'System-level events and state changes.';
insert into intra365.partition_policies (table_name, keep) values ('system_events', '400 days');

create table intra365.metrics_aggregates (
  tenant_id text not null,
  metric    text not null,
  at        timestamptz not null,
  labels    jsonb not null default '{}',
  count     bigint not null,
  total     bigint,
  largest   bigint,
  primary key (tenant_id, metric, at, labels)
);
select intra365.protect('metrics_aggregates');
revoke insert, update, delete on intra365.metrics_aggregates from intra365_service;
comment on table intra365.metrics_aggregates is 'Pre-aggregated metrics for reporting, by the hour.';
comment on column intra365.metrics_aggregates.total is 'Sum of what is measured, in the unit that the metric''s name ends with.';

create materialized view intra365.decisions_by_day as
  select tenant_id, (at at time zone 'utc')::date as day, labels ->> 'action' as action, labels ->> 'outcome' as outcome,
         sum(count)::bigint as decisions, sum(total)::bigint as duration_us, max(largest) as slowest_us
    from intra365.metrics_aggregates where metric = 'decisions_us' group by 1, 2, 3, 4;
create unique index decisions_by_day_key on intra365.decisions_by_day (tenant_id, day, action, outcome);
-- Row-level security does not reach into materialised views: services see them through this one only.
revoke all on intra365.decisions_by_day from intra365_service;
create view intra365.own_decisions_by_day with (security_barrier) as
  select * from intra365.decisions_by_day where tenant_id = intra365.current_tenant();
revoke all on intra365.own_decisions_by_day from intra365_service;
grant select on intra365.own_decisions_by_day to intra365_service;
comment on view intra365.own_decisions_by_day is 'decisions_by_day, of the tenant of the transaction.';
comment on materialized view intra365.decisions_by_day is 'Decisions per day, action and outcome; refreshed while it is read.';

-- Counts the hours since `from_time` anew: entries come late, so the last ones are counted more than once.
create function intra365.aggregate_decisions(from_time timestamptz) returns bigint
  language plpgsql set search_path = pg_catalog as $$
declare written bigint;
begin
  insert into intra365.metrics_aggregates (tenant_id, metric, at, labels, count, total, largest)
    select a.tenant_id, 'decisions_us', date_trunc('hour', a.at, 'utc'), jsonb_build_object('action', a.action, 'outcome', a.outcome),
           sum(a.count), sum(a.duration_us * a.count), max(a.duration_us)
      from intra365.audit_logs a where a.at >= date_trunc('hour', from_time, 'utc')
     group by 1, 3, 4
    on conflict (tenant_id, metric, at, labels) do update
      set count = excluded.count, total = excluded.total, largest = excluded.largest
      where (metrics_aggregates.count, metrics_aggregates.total, metrics_aggregates.largest)
            is distinct from (excluded.count, excluded.total, excluded.largest);
  get diagnostics written = row_count;
  return written;
end $$;
revoke all on function intra365.aggregate_decisions from public;

create function intra365.refresh_reports() returns bigint
  language plpgsql security definer set search_path = pg_catalog as $$
declare
  written bigint;
  last timestamptz;
begin
  if not pg_try_advisory_xact_lock(hashtext('intra365.refresh_reports')) then
    return 0;
  end if;
  select max(at) - interval '2 hours' into last from intra365.metrics_aggregates where metric = 'decisions_us';
  written := intra365.aggregate_decisions(coalesce(last, '-infinity'));
  if written > 0 then
    refresh materialized view concurrently intra365.decisions_by_day;
  end if;
  return written;
end $$;
comment on function intra365.refresh_reports is 'Brings aggregates and reports up to date; one caller at a time works, the others go at once.';
revoke all on function intra365.refresh_reports from public;
grant execute on function intra365.refresh_reports to intra365_service;
select intra365.maintain_partitions();
