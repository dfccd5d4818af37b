-- Counts and durations have bounds, so that no entry can be so large that nothing can be added up any more, and the hours
-- that reports are made of go with time like the trail itself.

-- Of what comes from now on; the migration behind this one looks through what is there, without keeping anybody out.
alter table intra365.audit_logs
  add constraint audit_logs_count_check check (count between 1 and 1000000000) not valid,
  add constraint audit_logs_duration_us_check check (duration_us between 0 and 604800000000) not valid;
alter table intra365.data_access_logs
  add constraint data_access_logs_count_check check (count between 1 and 1000000000) not valid;

-- A sum as it can be kept: what is larger than a bigint is shown as the largest one.
create function intra365.clamped(value numeric) returns bigint
  language sql immutable strict parallel safe
  return greatest(least(value, 9223372036854775807), 0)::bigint;

-- zero-downtime: drop: made again below, in the same transaction and under the same name
drop view intra365.own_decisions_by_day;
-- zero-downtime: drop: made again below, in the same transaction and under the same name
drop materialized view intra365.decisions_by_day;

-- Two years and some weeks: a report can be compared with that of the year before.
alter table intra365.metrics_aggregates rename to metrics_aggregates_before;
-- zero-downtime: rename: the table goes in this transaction; its name is taken by the new one
alter table intra365.metrics_aggregates_before rename constraint metrics_aggregates_pkey to metrics_aggregates_before_pkey;
create table intra365.metrics_aggregates (
  tenant_id text not null,
  metric    text not null,
  at        timestamptz not null,
  labels    jsonb not null default '{}',
  count     bigint not null,
  total     bigint,
  largest   bigint,
  primary key (tenant_id, metric, at, labels)
) partition by range (at);
create table intra365.metrics_aggregates_default partition of intra365.metrics_aggregates default;
select intra365.protect('metrics_aggregates');
select intra365.protect('metrics_aggregates_default');
revoke insert, update, delete on intra365.metrics_aggregates, intra365.metrics_aggregates_default from intra365_service;
insert into intra365.metrics_aggregates (tenant_id, metric, at, labels, count, total, largest)
  select tenant_id, metric, at, labels, count, total, largest from intra365.metrics_aggregates_before;
-- zero-downtime: drop: its rows and its name are the new table's; nobody saw it under this name
drop table intra365.metrics_aggregates_before;
comment on table intra365.metrics_aggregates is 'Pre-aggregated metrics for reporting, by the hour.';
comment on column intra365.metrics_aggregates.total is 'Sum of what is measured, in the unit that the metric''s name ends with.';
insert into intra365.partition_policies (table_name, width, keep) values ('metrics_aggregates', '30 days', '800 days');

create materialized view intra365.decisions_by_day as
  select tenant_id, (at at time zone 'utc')::date as day, labels ->> 'action' as action, labels ->> 'outcome' as outcome,
         intra365.clamped(sum(count)) as decisions, intra365.clamped(sum(total)) as duration_us, max(largest) as slowest_us
    from intra365.metrics_aggregates where metric = 'decisions_us' group by 1, 2, 3, 4;
-- zero-downtime: index: of the view that was made above, which has a row for each day, action and outcome
create unique index decisions_by_day_key on intra365.decisions_by_day (tenant_id, day, action, outcome);
-- Row-level security does not reach into materialised views: services see them through this one only.
-- zero-downtime: drop: of the view that was made above, which services never had a right to
revoke all on intra365.decisions_by_day from intra365_service;
create view intra365.own_decisions_by_day with (security_barrier) as
  select * from intra365.decisions_by_day where tenant_id = intra365.current_tenant();
-- zero-downtime: drop: of the view that was made above; the right that services had is granted below
revoke all on intra365.own_decisions_by_day from intra365_service;
grant select on intra365.own_decisions_by_day to intra365_service;
comment on view intra365.own_decisions_by_day is 'decisions_by_day, of the tenant of the transaction.';
comment on materialized view intra365.decisions_by_day is 'Decisions per day, action and outcome; refreshed while it is read.';

create or replace function intra365.aggregate_decisions(from_time timestamptz) returns bigint
  language plpgsql set search_path = pg_catalog as $$
declare written bigint;
begin
  insert into intra365.metrics_aggregates (tenant_id, metric, at, labels, count, total, largest)
    select a.tenant_id, 'decisions_us', date_trunc('hour', a.at, 'utc'), jsonb_build_object('action', a.action, 'outcome', a.outcome),
           intra365.clamped(sum(a.count)), intra365.clamped(sum(a.duration_us::numeric * a.count)), max(a.duration_us)
      from intra365.audit_logs a where a.at >= date_trunc('hour', from_time, 'utc')
     group by 1, 3, 4
    on conflict (tenant_id, metric, at, labels) do update
      set count = excluded.count, total = excluded.total, largest = excluded.largest
      where (metrics_aggregates.count, metrics_aggregates.total, metrics_aggregates.largest)
            is distinct from (excluded.count, excluded.total, excluded.largest);
  get diagnostics written = row_count;
  return written;
end $$;

select intra365.maintain_partitions();
