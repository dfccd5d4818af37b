-- One order of locks for whatever changes consents: the roots of the trees of delegation that are touched, then epochs of
-- people, then epochs of Mates, each in the order of their names. A root stands for its whole tree, so a tree that is held
-- has no new branches. Nobody waits for another in a circle.

-- A consent that an end or a no has not ended for good. What expired a day ago may be renewed, and is told then: no clock is
-- off by that much.
create function intra365.consent_may_hold(k intra365.consent_records) returns boolean
  language sql stable
  return k.status in ('active', 'suspended') and (k.expires_at is null or k.expires_at > now() - interval '1 day');

-- What hangs on these and would hold but for them. Below what is over for good nothing changes any more.
create function intra365.consents_below(for_tenant text, of_consents text[]) returns setof text
  language sql stable as $$
  with recursive below as (
    select k.consent_id from intra365.consent_records k
     where k.tenant_id = for_tenant and k.parent_id = any(of_consents) and intra365.consent_may_hold(k)
    union
    select k.consent_id from below b join intra365.consent_records k on k.tenant_id = for_tenant and k.parent_id = b.consent_id
     where intra365.consent_may_hold(k))
  select consent_id from below
$$;

-- What these hang on in the end; themselves, where they hang on nothing. It never changes.
create function intra365.consent_roots(for_tenant text, of_consents text[]) returns setof text
  language sql stable as $$
  with recursive up as (
    select k.consent_id, k.parent_id from intra365.consent_records k where k.tenant_id = for_tenant and k.consent_id = any(of_consents)
    union
    select k.consent_id, k.parent_id from up join intra365.consent_records k on k.tenant_id = for_tenant and k.consent_id = up.parent_id)
  select consent_id from up where parent_id is null
$$;

create function intra365.hold_consent_trees(for_tenant text, of_consents text[]) returns void language plpgsql as $$
begin
  perform from intra365.consent_records k
   where k.tenant_id = for_tenant and k.consent_id = any(array(select intra365.consent_roots(for_tenant, of_consents)))
   order by k.consent_id for no key update;
end $$;

-- For changes of `of_consents`, and of others that raise the epochs of these users and Mates: whatever they will lock.
create function intra365.hold_consents(for_tenant text, of_consents text[], users text[], mates text[]) returns void
  language plpgsql as $$
declare concerned text[];
begin
  perform intra365.hold_consent_trees(for_tenant, of_consents);
  concerned := of_consents || array(select intra365.consents_below(for_tenant, of_consents));
  -- One pass makes and locks them: two would be two orders.
  insert into intra365.consent_epochs as e (tenant_id, kind, id, epoch)
    select for_tenant, w.kind, w.id, 0 from (
      select 'user' as kind, unnest(users) as id union select 'mate', unnest(mates)
      union select 'user', k.user_id from intra365.consent_records k where k.tenant_id = for_tenant and k.consent_id = any(concerned)
      union select 'mate', k.mate_id from intra365.consent_records k where k.tenant_id = for_tenant and k.consent_id = any(concerned)) w
     order by w.kind desc, w.id
    on conflict (tenant_id, kind, id) do update set epoch = e.epoch;
end $$;

-- The same for whoever rewrites everything about a person: their household comes before its consents.
create function intra365.hold_person_consents(for_tenant text, of_user text) returns void language plpgsql as $$
begin
  perform from intra365.consent_households h
   where h.tenant_id = for_tenant and (h.founded_by = 'user:' || of_user or h.household_id in (
     select m.household_id from intra365.consent_household_members m where m.tenant_id = for_tenant and m.user_id = of_user))
   order by h.household_id for update;
  perform intra365.hold_consents(for_tenant,
    array(select k.consent_id from intra365.consent_records k where k.tenant_id = for_tenant and k.user_id = of_user), '{}', '{}');
end $$;

-- What hangs on these consents hears of their change: every epoch below is raised, by one statement however many there are,
-- so that no Mate makes a consent costly to take back.
create function intra365.raise_consents_below(for_tenant text, of_consents text[]) returns setof intra365.consent_records
  language sql as $$
  with below as (
    select k.consent_id, k.user_id, k.mate_id from intra365.consent_records k
     where k.tenant_id = for_tenant and k.consent_id = any(array(select intra365.consents_below(for_tenant, of_consents)))
       and not k.consent_id = any(of_consents)
  ), raised as (
    update intra365.consent_epochs e set epoch = greatest(e.epoch, intra365.epoch_base()) + w.count
      from (select 'user' as kind, b.user_id as id, count(*) from below b group by 2
            union all select 'mate', b.mate_id, count(*) from below b group by 2) w
     where e.tenant_id = for_tenant and e.kind = w.kind and e.id = w.id
    returning e.kind, e.id, e.epoch
  ), numbered as (
    select b.consent_id,
           u.epoch - row_number() over (partition by b.user_id order by b.consent_id desc) + 1 as user_epoch,
           m.epoch - row_number() over (partition by b.mate_id order by b.consent_id desc) + 1 as mate_epoch
      from below b
      join raised u on u.kind = 'user' and u.id = b.user_id
      join raised m on m.kind = 'mate' and m.id = b.mate_id
  )
  update intra365.consent_records k set epoch = n.user_epoch, mate_epoch = n.mate_epoch,
         expiry_told = k.expiry_told and coalesce(k.expires_at <= now(), false)  -- it may hold again with what is above it
    from numbered n where k.tenant_id = for_tenant and k.consent_id = n.consent_id
  returning k.*
$$;

-- As before, with these differences. Everything is locked first. A consent is handed on to at most 64, and at most 256 hang on
-- one in all: where there is no room nothing is stored. Whatever says no stands in the Mate's epochs before what it takes
-- from, and what is put aside comes last. A change holds since no earlier than the one before it, so that a clock that was set
-- back does not turn their order around; only a revocation that was said earlier than it was heard may be older.
create or replace function intra365.append_consent_changes(for_tenant text, changes jsonb, in_trace text)
  returns setof intra365.consent_records language plpgsql as $$
declare
  most_children constant int := 64;
  most_below constant int := 256;
  item jsonb; c jsonb; r jsonb; changed text[]; parents text[]; parent text; since timestamptz;
  user_epoch bigint; new_mate_epoch bigint; stored intra365.consent_records;
begin
  changed := array(select e->'change'->>'consentId' from jsonb_array_elements(changes) e);
  parents := array(select e->'change'->>'parentId' from jsonb_array_elements(changes) e where e->'change'->>'parentId' is not null);
  perform intra365.hold_consents(for_tenant, changed || parents,
    array(select e->'change'->>'userId' from jsonb_array_elements(changes) e),
    array(select e->'change'->>'mateId' from jsonb_array_elements(changes) e));
  if exists (
    select from jsonb_array_elements(changes) e
     where (e->'change'->>'revision')::bigint - 1 <> coalesce(
       (select k.revision from intra365.consent_records k where k.tenant_id = for_tenant and k.consent_id = e->'change'->>'consentId'), 0)) then
    return;
  end if;
  foreach parent in array parents loop
    if (select count(*) from intra365.consent_records k
         where k.tenant_id = for_tenant and k.parent_id = parent and intra365.consent_may_hold(k)) >= most_children
       or (select count(*) from intra365.consents_below(for_tenant, array(select intra365.consent_roots(for_tenant, array[parent])))) >= most_below then
      return;
    end if;
  end loop;
  for item in
    select e from jsonb_array_elements(changes) e
     order by e->'change'->>'userId', e->'change'->>'mateId', e->'change'->>'event' <> 'refused', e->'change'->>'event' = 'superseded',
              e->'change'->>'consentId'
  loop
    c := item->'change';
    r := item->'record';
    since := (c->>'validFrom')::timestamptz;
    if (c->>'revision')::bigint > 1 and since >= (c->>'recordedAt')::timestamptz then
      since := greatest(since, (select max(h.valid_from) from intra365.consent_history h
                                 where h.tenant_id = for_tenant and h.consent_id = c->>'consentId'));
    end if;
    user_epoch := intra365.bump_consent_epoch(for_tenant, 'user', c->>'userId');
    new_mate_epoch := intra365.bump_consent_epoch(for_tenant, 'mate', c->>'mateId');
    insert into intra365.consent_records as k
        (tenant_id, consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at, revoked_at, metadata,
         epoch, mate_epoch, status, revision, method, notice_version, superseded_by, parent_id, delegation_depth)
      values (for_tenant, c->>'consentId', c->>'userId', c->>'mateId',
              array(select jsonb_array_elements_text(r->'purposes')), array(select jsonb_array_elements_text(r->'scopes')),
              (r->>'granted')::boolean, (r->>'grantedAt')::timestamptz, (r->>'expiresAt')::timestamptz,
              case when c->>'event' = 'revoked' then since else (r->>'revokedAt')::timestamptz end,
              coalesce(r->'metadata', 'null'), user_epoch, new_mate_epoch,
              r->>'status', (c->>'revision')::bigint, r->>'method', r->>'noticeVersion', r->>'supersededBy',
              r->>'parentId', coalesce((r->>'delegationDepth')::int, 0))
      on conflict (tenant_id, consent_id) do update set
        purposes = excluded.purposes, scopes = excluded.scopes, granted = excluded.granted,
        expires_at = excluded.expires_at, revoked_at = excluded.revoked_at, epoch = excluded.epoch,
        mate_epoch = excluded.mate_epoch, status = excluded.status, revision = excluded.revision,
        superseded_by = excluded.superseded_by, expiry_told = k.expiry_told and k.expires_at is not distinct from excluded.expires_at
      returning * into stored;
    insert into intra365.consent_history
        (tenant_id, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at, epoch, trace_id,
         valid_from, revision, method, notice_version, evidence, superseded_by, parent_id, delegation_depth)
      values (for_tenant, stored.consent_id, stored.user_id, stored.mate_id, c->>'event', c->>'actor', stored.purposes,
              stored.scopes, stored.expires_at, user_epoch, in_trace, since,
              stored.revision, c->>'method', c->>'noticeVersion', c->>'evidence', c->>'supersededBy',
              stored.parent_id, stored.delegation_depth);
    return next stored;
  end loop;
  return query select * from intra365.raise_consents_below(for_tenant, changed);
end $$;

-- As before, but for the locks: of trees, as everybody.
create or replace function intra365.raise_household(for_tenant text, of_household text) returns setof intra365.consent_records language plpgsql as $$
declare
  subject constant text := 'household:' || of_household;
  newest text[]; users text[]; one text; raised bigint; subject_epoch bigint; stored intra365.consent_records;
begin
  perform from intra365.consent_households h where h.tenant_id = for_tenant and h.household_id = of_household and h.changed_at = now();
  if not found then return; end if;
  newest := array(select distinct on (k.mate_id) k.consent_id from intra365.consent_records k
                   where k.tenant_id = for_tenant and k.user_id = subject and k.status <> 'superseded' order by k.mate_id, k.mate_epoch desc);
  users := array(select distinct m.user_id from intra365.consent_household_members m
                  where m.tenant_id = for_tenant and m.household_id = of_household and (m.joined_at = now() or m.left_at = now())) || subject;
  perform intra365.hold_consents(for_tenant, newest, users, '{}');
  foreach one in array users loop
    subject_epoch := intra365.bump_consent_epoch(for_tenant, 'user', one);  -- the subject's, at last
  end loop;
  for stored in
    select k.* from intra365.consent_records k where k.tenant_id = for_tenant and k.consent_id = any(newest) order by k.mate_id
  loop
    raised := intra365.bump_consent_epoch(for_tenant, 'mate', stored.mate_id);
    update intra365.consent_records k set epoch = subject_epoch, mate_epoch = raised
     where k.tenant_id = for_tenant and k.consent_id = stored.consent_id returning * into stored;
    return next stored;
  end loop;
end $$;
