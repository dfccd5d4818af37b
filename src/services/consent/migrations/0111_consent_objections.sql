-- A person's standing no (docs/adr/0007): what they have objected to or opted out of is refused for every Mate that a group of
-- theirs allows it, now or later. Where a group allows something, the person's own refusal for that Mate is recorded before.

create table intra365.consent_objections (
  tenant_id text not null,
  user_id   text not null,
  purpose   text not null,
  since     timestamptz not null default now(),
  primary key (user_id, purpose, tenant_id)
);
create index consent_objections_by_tenant on intra365.consent_objections (tenant_id, user_id);
select intra365.protect('consent_objections');
comment on table intra365.consent_objections is 'Purposes that people have objected to, whoever asks: no group allows them on their behalf.';
insert into intra365.personal_columns values ('consent_objections', 'user_id', 'user', 'delete', 'null');

insert into intra365.consent_objections (tenant_id, user_id, purpose, since)
  select o.tenant_id, o.user_id, p, min(o.since) from (
    select tenant_id, user_id, purposes, since from intra365.consent_opt_outs
    union all select tenant_id, user_id, purposes, granted_at from intra365.consent_records
               where status = 'refused' and method = 'objection' and position(':' in user_id) = 0) o, unnest(o.purposes) p
   group by 1, 2, 3;

-- `profile` covers `profile.read`.
create function intra365.name_covers(wide text, narrow text) returns boolean
  language sql immutable parallel safe
  return narrow = wide or starts_with(narrow, wide || '.');

-- Who objects, and who lets a group allow something, must not come between each other's look and step: objections go
-- together, what groups allow goes alone. Taken behind a household's row and before anything else.
create function intra365.hold_objections(for_tenant text, alone boolean) returns void language plpgsql as $$
declare key constant bigint := hashtextextended('consent_objections ' || for_tenant, 0);
begin
  if alone then perform pg_advisory_xact_lock(key); else perform pg_advisory_xact_lock_shared(key); end if;
end $$;

-- False: the person has objected to 4,000 purposes already.
create function intra365.note_objection(for_tenant text, of_user text, to_purposes text[]) returns boolean language plpgsql as $$
begin
  perform intra365.hold_objections(for_tenant, false);
  insert into intra365.consent_objections (tenant_id, user_id, purpose)
    select distinct for_tenant, of_user, p from unnest(to_purposes) p order by p on conflict do nothing;
  return (select count(*) from intra365.consent_objections o where o.tenant_id = for_tenant and o.user_id = of_user) <= 4000;
end $$;

-- Who objects to what a group allows, or is about to allow, a Mate, and has no refusal of their own that says so: the purposes
-- in common, the narrower of each two. `of_user`: only theirs, though they may belong to the group only in a moment.
create function intra365.open_objections(for_tenant text, of_group text, to_mate text, for_purposes text[], with_scopes text[], of_user text)
  returns table (user_id text, purposes text[], since timestamptz)
  language sql stable as $$
  select o.user_id, array_agg(distinct common.purpose order by common.purpose), max(o.since)
    from intra365.consent_objections o
    join unnest(for_purposes) allowed on intra365.name_covers(allowed, o.purpose) or intra365.name_covers(o.purpose, allowed)
    cross join lateral (select case when intra365.name_covers(allowed, o.purpose) then o.purpose else allowed end as purpose) common
   where o.tenant_id = for_tenant and (of_user is null or o.user_id = of_user)
     and (of_user is not null or of_group not like 'household:%' or o.user_id = any(intra365.consent_members(for_tenant, of_group)))
     and not exists (
       select from intra365.consent_records k
        where k.tenant_id = for_tenant and k.user_id = o.user_id and k.mate_id = to_mate and k.status = 'refused'
          and exists (select from unnest(k.purposes) p where intra365.name_covers(p, common.purpose))
          and not exists (select from unnest(with_scopes) s
                           where not exists (select from unnest(k.scopes) held where intra365.name_covers(held, s))))
   group by o.user_id
$$;

-- The same for everything that these groups allow, or may allow again.
create function intra365.open_objections_of(for_tenant text, of_user text, groups text[])
  returns table (user_id text, mate_id text, purposes text[], scopes text[], since timestamptz)
  language sql stable as $$
  select o.user_id, k.mate_id, o.purposes, k.scopes, o.since
    from unnest(groups) of_group
    cross join lateral (select * from intra365.consent_records r where r.tenant_id = for_tenant and r.user_id = of_group offset 0) k
    cross join lateral intra365.open_objections(for_tenant, k.user_id, k.mate_id, k.purposes, k.scopes, of_user) o
   where k.status in ('active', 'suspended')
$$;

-- As append_consent_changes, for consents of a group; a household is held. Nothing is stored where `by_keeper` is given and is
-- no keeper any more, nor where somebody objects and has no refusal of their own yet.
-- zero-downtime: drop: a household's change that an instance of the version before writes fails until it is replaced, and
-- changes nothing; writing it as before would not ask who objects
drop function intra365.append_household_consents(text, text, text, jsonb, text);
create function intra365.append_group_consents(for_tenant text, of_group text, by_keeper text, changes jsonb, in_trace text)
  returns setof intra365.consent_records language plpgsql as $$
declare allowing jsonb;
begin
  if by_keeper is not null and of_group like 'household:%' and not intra365.keeps_household(for_tenant, substr(of_group, 11), by_keeper) then
    return;
  end if;
  allowing := jsonb_path_query_array(changes, '$[*].change ? (@.event == "granted" || @.event == "delegated")');
  if jsonb_array_length(allowing) > 0 then
    perform intra365.hold_objections(for_tenant, true);
    if exists (
      select from jsonb_array_elements(allowing) c
        cross join lateral intra365.open_objections(for_tenant, of_group, c->>'mateId', array(select jsonb_array_elements_text(c->'purposes')),
                                                    array(select jsonb_array_elements_text(c->'scopes')), null)) then
      return;
    end if;
  end if;
  return query select * from intra365.append_consent_changes(for_tenant, changes, in_trace);
end $$;

-- As before, and `objections` where somebody who joins has refusals to be recorded first.
create or replace function intra365.join_household(for_tenant text, to_household text, by_user text) returns text language plpgsql as $$
begin
  if not intra365.hold_household(for_tenant, to_household) then return 'unknown'; end if;
  if not exists (select from intra365.consent_household_members m where m.tenant_id = for_tenant and m.household_id = to_household
                    and m.user_id = by_user and m.left_at is null and m.joined_at is null) then return 'unknown'; end if;
  perform intra365.hold_objections(for_tenant, true);
  if exists (select from intra365.open_objections_of(for_tenant, by_user, array['household:' || to_household])) then return 'objections'; end if;
  update intra365.consent_household_members m set valid_from = now(), joined_at = now()
   where m.tenant_id = for_tenant and m.household_id = to_household and m.user_id = by_user and m.left_at is null and m.joined_at is null;
  update intra365.consent_households h set changed_at = now() where h.tenant_id = for_tenant and h.household_id = to_household;
  return 'done';
exception when unique_violation then
  return 'elsewhere';
end $$;
