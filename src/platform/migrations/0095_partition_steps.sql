-- Partitions are looked after one step at a time, each in a transaction of its own: what takes long holds no lock that
-- others need, what needs such a lock gives up soon, and a step that fails undoes no other. Callers go on until there is
-- nothing left to do.

alter table intra365.partition_policies add column closed_after interval not null default '31 days' check (closed_after >= '0');
comment on column intra365.partition_policies.closed_after is 'How long after its end a partition may still get rows. Indexes of closed partitions are made then: making one keeps rows out.';
alter table intra365.partitions add column trim_began_at timestamptz, add column trimmed_pages bigint not null default 0;
comment on column intra365.partitions.trim_began_at is 'When rows that no legal hold keeps began to be removed; holds that changed since want it anew.';
comment on column intra365.partitions.trimmed_pages is 'How far that has come.';

-- Whether a legal hold keeps the row `r` of a table, as a condition. A hold on a person keeps what they did, what was done
-- for them and what names them: the columns are those that an erasure looks at.
create function intra365.hold_condition(of_table text, time_column text) returns text
  language sql stable set search_path = pg_catalog as $$
  select case when not intra365.has_column(of_table, 'tenant_id') then 'false' else
    format('exists (select from intra365.legal_holds h where h.released_at is null and h.tenant_id = r.tenant_id'
           ' and r.%1$I >= h.from_at and r.%1$I < h.until_at and (h.user_id is null%2$s))', time_column,
      (select string_agg(' or ' || case c.holds
                when 'user' then format('r.%I = h.user_id', c.column_name)
                when 'subject' then format('r.%I = ''user:'' || h.user_id', c.column_name)
                when 'text' then format('r.%I ~ intra365.word_pattern(h.user_id)', c.column_name)
                when 'mention' then format('jsonb_path_exists(r.%I, ''$.** ? (@ == $user || @ == $subject)'', jsonb_build_object(''user'', h.user_id, ''subject'', ''user:'' || h.user_id))', c.column_name)
              end, '' order by c.column_name)
         from intra365.personal_columns c where c.table_name = of_table and c.holds in ('user', 'subject', 'text', 'mention'))) end $$;
revoke all on function intra365.hold_condition from public;

-- One step towards the end of a partition whose time is over: it is dropped, or, where a legal hold reaches into it, some
-- pages of it are freed of every row that no hold keeps. Null: there is nothing to do.
create function intra365.retire_partition_step(part intra365.partitions) returns text
  language plpgsql set search_path = pg_catalog as $$
declare
  pages_per_step constant bigint := 10000;
  place constant regclass := format('intra365.%I', part.partition_name)::regclass;
  first_page bigint;
begin
  if not exists (select from intra365.legal_holds where released_at is null and from_at < part.to_at and until_at > part.from_at) then
    execute format('alter table intra365.%I detach partition %s', part.table_name, place);
    execute format('drop table %s', place);
    update intra365.partitions set retired_at = now() where partition_name = part.partition_name;
    update intra365.partition_policies set retired_until = greatest(retired_until, part.to_at) where table_name = part.table_name;
    return 'retired';
  end if;
  if part.trimmed_at > (select max(greatest(placed_at, released_at)) from intra365.legal_holds) then
    return null;
  end if;
  first_page := case when part.trim_began_at > coalesce(part.trimmed_at, '-infinity') then part.trimmed_pages else 0 end;
  if first_page = 0 then
    update intra365.partition_policies set retired_until = greatest(retired_until, part.to_at) where table_name = part.table_name;
    update intra365.partitions set trim_began_at = clock_timestamp() where partition_name = part.partition_name;
  end if;
  execute format('delete from %s r where r.ctid >= ''(%s,0)''::tid and r.ctid < ''(%s,0)''::tid and not %s', place, first_page,
                 first_page + pages_per_step, intra365.hold_condition(part.table_name, 'at'));
  if (first_page + pages_per_step) * current_setting('block_size')::bigint < pg_relation_size(place) then
    update intra365.partitions set trimmed_pages = first_page + pages_per_step where partition_name = part.partition_name;
    return 'trimming';
  end if;
  -- Holds that changed since it began have not been heeded everywhere.
  update intra365.partitions set trimmed_at = trim_began_at, trimmed_pages = 0 where partition_name = part.partition_name;
  return 'trimmed';
end $$;
revoke all on function intra365.retire_partition_step from public;

-- The next index that a closed partition lacks; null: none.
create function intra365.index_partition_step(part intra365.partitions, definitions text[]) returns text
  language plpgsql set search_path = pg_catalog as $$
declare name text;
begin
  for n in 1 .. cardinality(definitions) loop
    name := format('%s_closed_%s', part.partition_name, n);
    if to_regclass(format('intra365.%I', name)) is null then
      execute format('create index %I on intra365.%I %s', name, part.partition_name, definitions[n]);
      return 'indexed';
    end if;
  end loop;
  update intra365.partitions set indexed_at = now() where partition_name = part.partition_name;
  return null;
end $$;
revoke all on function intra365.index_partition_step from public;

-- The next step of all; nothing when there is none, or somebody else is at it. What could not be locked in time is `busy`:
-- put its name into `skip` to go on with the rest. Readers and writers wait for a step that long at most, too, since they
-- stand behind it.
create function intra365.partition_step_at(at_time timestamptz, skip text[])
  returns table (action text, partition_name text)
  language plpgsql set search_path = pg_catalog set lock_timeout = '1s' as $$
declare
  policy intra365.partition_policies;
  part intra365.partitions;
  reached timestamptz;
  removed bigint;
begin
  if not pg_try_advisory_xact_lock(hashtext('intra365.maintain_partitions')) then
    return;
  end if;
  -- Places for what is to come, before anything else.
  for policy in select * from intra365.partition_policies p where not p.table_name = any(skip) order by p.table_name loop
    select max(p.to_at) into reached from intra365.partitions p where p.table_name = policy.table_name;
    -- The first one is the week before: what was recorded then may still be on its way.
    reached := coalesce(reached, date_bin(policy.width, at_time, '2001-01-01 00:00+00') - policy.width);
    if reached <= at_time + policy.ahead * policy.width then
      partition_name := policy.table_name;
      partition_name := intra365.make_partition(policy.table_name, reached, reached + policy.width);
      action := 'made';
      return next;
      return;
    end if;
  end loop;
  -- What lies outside of all partitions has its time, too.
  for policy in select * from intra365.partition_policies p where p.keep is not null order by p.table_name loop
    partition_name := policy.table_name || '_default';
    continue when partition_name = any(skip);
    execute format('delete from intra365.%1$I d where d.ctid = any(array(select r.ctid from intra365.%1$I r where r.at < %2$L and not %3$s limit 10000))',
                   partition_name, at_time - policy.keep, intra365.hold_condition(policy.table_name, 'at'));
    get diagnostics removed = row_count;
    if removed > 0 then
      update intra365.partition_policies p set retired_until = greatest(p.retired_until, at_time - policy.keep)
        where p.table_name = policy.table_name;
      action := 'emptied';
      return next;
      return;
    end if;
  end loop;
  for part in
    select * from intra365.partitions p
     where p.retired_at is null and p.to_at < at_time and not p.partition_name = any(skip) order by p.to_at, p.table_name
  loop
    select * into strict policy from intra365.partition_policies p where p.table_name = part.table_name;
    partition_name := part.partition_name;
    if part.to_at <= at_time - policy.keep then
      action := intra365.retire_partition_step(part);
    elsif policy.closed_indexes <> '{}' and part.indexed_at is null and part.to_at < at_time - policy.closed_after then
      action := intra365.index_partition_step(part, policy.closed_indexes);
    else
      continue;
    end if;
    if action is not null then
      return next;
      return;
    end if;
  end loop;
exception when lock_not_available then
  action := 'busy';
  return next;
end $$;
revoke all on function intra365.partition_step_at from public;

create function intra365.partition_step(skip text[]) returns table (action text, partition_name text)
  language sql security definer set search_path = pg_catalog as $$ select * from intra365.partition_step_at(now(), skip) $$;
comment on function intra365.partition_step is 'Makes partitions ahead, retires old ones, indexes closed ones: the next step, and what it was.';
revoke all on function intra365.partition_step from public;
grant execute on function intra365.partition_step to intra365_service;

-- Services of the version before call this every ten minutes: a step each time is enough while an upgrade goes on.
create or replace function intra365.maintain_partitions() returns table (action text, partition_name text)
  language sql security definer set search_path = pg_catalog as $$ select * from intra365.partition_step_at(now(), '{}') $$;
-- zero-downtime: drop: no service may call them, only maintain_partitions() did.
drop function intra365.maintain_partitions_at(timestamptz), intra365.retire_partition(text), intra365.remove_rows(text, timestamptz);
