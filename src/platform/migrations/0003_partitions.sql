-- Tables that grow with time: partitions made ahead, retired by policy, and what a legal hold keeps.
--
-- `maintain_partitions()` does all of it and may be called by anybody at any time: a lock lets one caller work, the
-- others go at once. Where no partition serves (it was away too long, or a Mate's clock is wrong) rows go to the
-- default partition and are moved as soon as there is one for them.

create table intra365.partition_policies (
  table_name   text primary key,
  width        interval not null default '7 days' check (width between '1 day' and '366 days'),
  ahead        int not null default 4 check (ahead between 1 and 100),
  keep         interval check (keep >= '1 day'),
  closed_indexes text[] not null default '{}',
  retired_until timestamptz not null default '-infinity'
);
comment on table intra365.partition_policies is 'Which tables are partitioned by the column "at", how wide, and for how long rows are kept.';
comment on column intra365.partition_policies.ahead is 'How many partitions stand ready for the time to come.';
comment on column intra365.partition_policies.keep is 'Partitions whose last row is older are dropped; null: never.';
comment on column intra365.partition_policies.closed_indexes is 'Indexes made once a partition takes no rows any more, since they would cost each insert too much: what follows "on <partition>".';

comment on column intra365.partition_policies.retired_until is 'Rows before this time may have been removed.';

create table intra365.partitions (
  partition_name text primary key,
  table_name     text not null references intra365.partition_policies,
  from_at        timestamptz not null,
  to_at          timestamptz not null check (to_at > from_at),
  made_at        timestamptz not null default now(),
  indexed_at     timestamptz,
  trimmed_at     timestamptz,
  retired_at     timestamptz
);
create index partitions_by_table on intra365.partitions (table_name, to_at);
comment on table intra365.partitions is 'Partitions that were made, and what became of them.';
comment on column intra365.partitions.trimmed_at is 'Its time was over, but a legal hold kept rows of it: all others were removed then.';
comment on column intra365.partitions.retired_at is 'When it was dropped.';

create table intra365.legal_holds (
  tenant_id   text not null,
  hold_id     text not null,
  user_id     text,
  from_at     timestamptz not null default '-infinity',
  until_at    timestamptz not null default 'infinity' check (until_at > from_at),
  reason      text not null check (length(reason) between 1 and 1000),
  placed_by   text not null,
  placed_at   timestamptz not null default now(),
  released_by text,
  released_at timestamptz,
  primary key (tenant_id, hold_id)
);
select intra365.protect('legal_holds');
revoke delete on intra365.legal_holds from intra365_service;
comment on table intra365.legal_holds is 'Rows that retention must not remove: of a tenant, or of one person, in a time. Released, never deleted.';
revoke insert, update, delete on intra365.partition_policies, intra365.partitions from intra365_service;

create function intra365.has_column(name text, column_of text) returns boolean
  language sql stable set search_path = pg_catalog as $$
  select exists (select from information_schema.columns c
                 where c.table_schema = 'intra365' and c.table_name = name and c.column_name = column_of) $$;
revoke all on function intra365.has_column from public;

create function intra365.make_partition(parent text, from_time timestamptz, to_time timestamptz) returns text
  language plpgsql set search_path = pg_catalog as $$
declare name text := format('%s_%s', parent, to_char(from_time at time zone 'utc', 'YYYYMMDD'));
begin
  execute format('create table intra365.%I (like intra365.%I including all)', name, parent);
  execute format('lock table intra365.%I in access exclusive mode', parent || '_default');
  execute format('with moved as (delete from intra365.%I where at >= %L and at < %L returning *) insert into intra365.%I select * from moved',
                 parent || '_default', from_time, to_time, name);
  execute format('alter table intra365.%I attach partition intra365.%I for values from (%L) to (%L)', parent, name, from_time, to_time);
  -- Rows are reached through the parent only.
  execute format('revoke all on intra365.%I from intra365_service', name);
  if intra365.has_column(name, 'tenant_id') then
    perform intra365.protect(name);
  end if;
  insert into intra365.partitions (partition_name, table_name, from_at, to_at) values (name, parent, from_time, to_time);
  return name;
end $$;
revoke all on function intra365.make_partition from public;

-- Removes rows from before `until` that no legal hold keeps; says how many.
create function intra365.remove_rows(name text, until timestamptz) returns bigint
  language plpgsql set search_path = pg_catalog as $$
declare removed bigint;
begin
  execute format('delete from intra365.%I r where r.at < %L', name, until) ||
    case when intra365.has_column(name, 'tenant_id') then
      ' and not exists (select from intra365.legal_holds h where h.released_at is null'
      ' and h.tenant_id = r.tenant_id and r.at >= h.from_at and r.at < h.until_at' ||
      case when intra365.has_column(name, 'user_id') then ' and (h.user_id is null or h.user_id = r.user_id)' else '' end || ')'
    else '' end;
  get diagnostics removed = row_count;
  return removed;
end $$;
revoke all on function intra365.remove_rows from public;

-- Drops a partition, or, where a legal hold reaches into it, removes every row that no hold keeps.
create function intra365.retire_partition(name text) returns text
  language plpgsql set search_path = pg_catalog as $$
declare part intra365.partitions; held boolean;
begin
  select * into strict part from intra365.partitions where partition_name = name for update;
  update intra365.partition_policies set retired_until = greatest(retired_until, part.to_at) where table_name = part.table_name;
  select exists (select from intra365.legal_holds
                 where released_at is null and from_at < part.to_at and until_at > part.from_at) into held;
  if not held then
    execute format('alter table intra365.%I detach partition intra365.%I', part.table_name, name);
    execute format('drop table intra365.%I', name);
    update intra365.partitions set retired_at = now() where partition_name = name;
    return 'retired';
  end if;
  if part.trimmed_at > (select max(greatest(placed_at, released_at)) from intra365.legal_holds) then
    return null;
  end if;
  perform intra365.remove_rows(name, part.to_at);
  update intra365.partitions set trimmed_at = clock_timestamp() where partition_name = name;
  return 'trimmed';
end $$;
revoke all on function intra365.retire_partition from public;

create function intra365.maintain_partitions_at(at_time timestamptz)
  returns table (action text, partition_name text)
  language plpgsql set search_path = pg_catalog as $$
declare
  policy intra365.partition_policies;
  part intra365.partitions;
  reached timestamptz;
  done text;
  definition text;
begin
  if not pg_try_advisory_xact_lock(hashtext('intra365.maintain_partitions')) then
    return;
  end if;
  for policy in select * from intra365.partition_policies order by table_name loop
    select max(p.to_at) into reached from intra365.partitions p where p.table_name = policy.table_name;
    -- The first one is the week before: what was recorded then may still be on its way.
    reached := coalesce(reached, date_bin(policy.width, at_time, '2001-01-01 00:00+00') - policy.width);
    while reached <= at_time + policy.ahead * policy.width loop
      action := 'made';
      partition_name := intra365.make_partition(policy.table_name, reached, reached + policy.width);
      reached := reached + policy.width;
      return next;
    end loop;
    -- What lies outside of all partitions has its time, too.
    if policy.keep is not null and intra365.remove_rows(policy.table_name || '_default', at_time - policy.keep) > 0 then
      update intra365.partition_policies p set retired_until = greatest(p.retired_until, at_time - policy.keep)
        where p.table_name = policy.table_name;
      action := 'emptied';
      partition_name := policy.table_name || '_default';
      return next;
    end if;
    for part in select * from intra365.partitions p
                where p.table_name = policy.table_name and p.retired_at is null and p.to_at < at_time order by p.to_at loop
      partition_name := part.partition_name;
      if part.to_at <= at_time - policy.keep then
        done := intra365.retire_partition(part.partition_name);
        if done is not null then
          action := done;
          return next;
        end if;
      elsif policy.closed_indexes <> '{}' and part.indexed_at is null and part.to_at < at_time - interval '1 day' then
        foreach definition in array policy.closed_indexes loop
          execute format('create index on intra365.%I %s', part.partition_name, definition);
        end loop;
        update intra365.partitions p set indexed_at = now() where p.partition_name = part.partition_name;
        action := 'indexed';
        return next;
      end if;
    end loop;
  end loop;
end $$;
revoke all on function intra365.maintain_partitions_at from public;
create function intra365.maintain_partitions() returns table (action text, partition_name text)
  language sql security definer set search_path = pg_catalog as $$ select * from intra365.maintain_partitions_at(now()) $$;
comment on function intra365.maintain_partitions is 'Makes partitions ahead, retires old ones, indexes closed ones; says what it did.';
revoke all on function intra365.maintain_partitions from public;
grant execute on function intra365.maintain_partitions to intra365_service;
