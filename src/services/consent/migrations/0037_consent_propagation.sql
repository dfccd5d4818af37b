-- How far a change of a consent has got: when it was told, and which enforcement point has said that it knows.

create table intra365.consent_points (
  tenant_id  text not null,
  mate_id    text not null,
  instance   text not null check (instance ~ '^[A-Za-z0-9_-]{1,64}$'),
  mate_epoch bigint not null,
  since      timestamptz not null default clock_timestamp(),
  heard_at   timestamptz not null default clock_timestamp(),
  primary key (tenant_id, mate_id, instance)
);
select intra365.protect('consent_points');
comment on table intra365.consent_points is 'Enforcement points of Mates: how new the copy is that each decides from.';

-- The latest change of each consent that was changed after it was given.
create table intra365.consent_propagation (
  tenant_id  text not null,
  consent_id text not null,
  mate_id    text not null,
  mate_epoch bigint not null,
  changed_at timestamptz not null,
  told_at    timestamptz,
  primary key (tenant_id, consent_id),
  foreign key (tenant_id, consent_id) references intra365.consent_records on delete cascade
);
create index consent_propagation_by_mate on intra365.consent_propagation (tenant_id, mate_id, mate_epoch);
create index consent_propagation_by_time on intra365.consent_propagation (changed_at);
select intra365.protect('consent_propagation');
comment on table intra365.consent_propagation is 'How far the latest change of a consent has got.';

-- A confirmation of an older change than the latest says nothing about that one; it is replaced by the next.
create table intra365.consent_confirmations (
  tenant_id    text not null,
  consent_id   text not null,
  instance     text not null,
  mate_epoch   bigint not null,
  confirmed_at timestamptz not null,
  primary key (tenant_id, consent_id, instance),
  foreign key (tenant_id, consent_id) references intra365.consent_propagation on delete cascade
);
create index consent_confirmations_by_time on intra365.consent_confirmations (confirmed_at);
select intra365.protect('consent_confirmations');
comment on table intra365.consent_confirmations is 'Which enforcement point has confirmed a change of a consent, and when.';

create function intra365.begin_consent_propagation() returns trigger language plpgsql as $$
begin
  insert into intra365.consent_propagation as p (tenant_id, consent_id, mate_id, mate_epoch, changed_at)
    values (new.tenant_id, new.consent_id, new.mate_id, new.mate_epoch, clock_timestamp())
    on conflict (tenant_id, consent_id) do update set mate_epoch = excluded.mate_epoch, changed_at = excluded.changed_at, told_at = null;
  return null;
end $$;
create trigger consent_propagation after update of mate_epoch on intra365.consent_records
  for each row when (new.mate_epoch <> old.mate_epoch) execute function intra365.begin_consent_propagation();

-- What enforcement points have reached; lists of equal length, one entry for each point. A point that is new has begun with
-- everything up to its epoch, so it confirms only what comes after. Of one Mate at most 256 are kept: a new one takes the
-- place of one that has been silent for a minute, or is not noted.
create function intra365.confirm_consents(tenants text[], mates text[], instances text[], epochs bigint[]) returns void
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare said record; before bigint;
begin
  for said in
    select * from unnest(tenants, mates, instances, epochs) as u(tenant_id, mate_id, instance, reached) order by 1, 2, 3
  loop
    select p.mate_epoch into before from intra365.consent_points p
     where p.tenant_id = said.tenant_id and p.mate_id = said.mate_id and p.instance = said.instance for update;
    if not found then
      if (select count(*) from intra365.consent_points p where p.tenant_id = said.tenant_id and p.mate_id = said.mate_id) >= 256 then
        delete from intra365.consent_points p where p.tenant_id = said.tenant_id and p.mate_id = said.mate_id and p.instance = (
          select q.instance from intra365.consent_points q where q.tenant_id = said.tenant_id and q.mate_id = said.mate_id
             and q.heard_at < clock_timestamp() - interval '1 minute' order by q.heard_at limit 1);
        if not found then continue; end if;
      end if;
      insert into intra365.consent_points (tenant_id, mate_id, instance, mate_epoch)
        values (said.tenant_id, said.mate_id, said.instance, said.reached) on conflict do nothing;
      continue;
    end if;
    update intra365.consent_points p set mate_epoch = greatest(before, said.reached), heard_at = clock_timestamp()
     where p.tenant_id = said.tenant_id and p.mate_id = said.mate_id and p.instance = said.instance;
    insert into intra365.consent_confirmations as c (tenant_id, consent_id, instance, mate_epoch, confirmed_at)
      select p.tenant_id, p.consent_id, said.instance, p.mate_epoch, clock_timestamp() from intra365.consent_propagation p
       where p.tenant_id = said.tenant_id and p.mate_id = said.mate_id and p.mate_epoch > before and p.mate_epoch <= said.reached
      on conflict (tenant_id, consent_id, instance) do update set mate_epoch = excluded.mate_epoch, confirmed_at = excluded.confirmed_at
        where c.mate_epoch < excluded.mate_epoch;
  end loop;
end $$;

-- Which changes were pushed. A row that is just being changed again is passed over: that push was of the change before.
create function intra365.told_consents(tenants text[], consents text[], epochs bigint[]) returns void
  language sql security definer set search_path = pg_catalog, intra365 as $$
  with told as (
    select p.ctid from intra365.consent_propagation p
      join unnest(tenants, consents, epochs) as u(tenant_id, consent_id, mate_epoch) using (tenant_id, consent_id, mate_epoch)
     where p.told_at is null for update of p skip locked)
  update intra365.consent_propagation p set told_at = clock_timestamp() from told where p.ctid = told.ctid
$$;

-- Forgets what is older than that; at most so many rows of each kind, so that it never holds anything up. True: there is more.
create function intra365.forget_consent_propagation(before timestamptz, silent_since timestamptz, at_most int) returns boolean
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare gone int; total int := 0;
begin
  delete from intra365.consent_confirmations where ctid in
    (select ctid from intra365.consent_confirmations where confirmed_at < before limit at_most for update skip locked);
  get diagnostics gone = row_count; total := greatest(total, gone);
  delete from intra365.consent_propagation where ctid in
    (select ctid from intra365.consent_propagation where changed_at < before limit at_most for update skip locked);
  get diagnostics gone = row_count; total := greatest(total, gone);
  delete from intra365.consent_points where ctid in
    (select ctid from intra365.consent_points where heard_at < silent_since limit at_most for update skip locked);
  get diagnostics gone = row_count; total := greatest(total, gone);
  return total >= at_most;
end $$;
revoke all on function intra365.confirm_consents(text[], text[], text[], bigint[]) from public;
revoke all on function intra365.told_consents(text[], text[], bigint[]) from public;
revoke all on function intra365.forget_consent_propagation(timestamptz, timestamptz, int) from public;
grant execute on function intra365.confirm_consents(text[], text[], text[], bigint[]) to intra365_service;
grant execute on function intra365.told_consents(text[], text[], bigint[]) to intra365_service;
grant execute on function intra365.forget_consent_propagation(timestamptz, timestamptz, int) to intra365_service;
