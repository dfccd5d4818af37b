-- Consents of groups (docs/adr/0007): a household's and the organisation's are records like any other, whose user_id is
-- household:<id> or organisation:<tenant>. No user id has a colon. Only who belongs to a household is kept beside them.

alter table intra365.consent_purposes add column inheritable boolean not null default false;
comment on column intra365.consent_purposes.inheritable is 'Households and the organisation may consent to it for their people.';

create table intra365.consent_households (
  tenant_id    text not null,
  household_id text not null check (household_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  founded_by   text not null,
  founded_at   timestamptz not null default now(),
  ended_at     timestamptz,
  changed_at   timestamptz not null default now(),
  primary key (tenant_id, household_id)
);
select intra365.protect('consent_households');
comment on table intra365.consent_households is 'Groups of people who may consent for each other.';
comment on column intra365.consent_households.changed_at is 'When somebody joined or left last; that change''s transaction raises the epochs of the household''s consents.';

-- One row for each stay, from the invitation on: since when it holds (valid_*) and when we learned it (joined_at, left_at).
create table intra365.consent_household_members (
  tenant_id    text not null,
  number       bigint generated always as identity,
  household_id text not null,
  user_id      text not null,
  keeper       boolean not null,
  invited_by   text not null,
  invited_at   timestamptz not null default now(),
  valid_from   timestamptz,
  joined_at    timestamptz,
  valid_to     timestamptz,
  left_at      timestamptz,
  primary key (tenant_id, number),
  foreign key (tenant_id, household_id) references intra365.consent_households
);
create unique index consent_household_members_now on intra365.consent_household_members (household_id, user_id, tenant_id) where left_at is null;
-- Somebody belongs to one household at a time, so of two households none has to come before the other.
create unique index consent_household_members_one on intra365.consent_household_members (user_id, tenant_id) where joined_at is not null and left_at is null;
create index consent_household_members_by_household on intra365.consent_household_members (household_id, tenant_id, number);
create index consent_household_members_by_user on intra365.consent_household_members (user_id, tenant_id, number);
select intra365.protect('consent_household_members');
revoke delete on intra365.consent_household_members from intra365_service;
comment on table intra365.consent_household_members is 'Who belongs, or has belonged, to which household.';

insert into intra365.personal_columns values
  ('consent_households', 'founded_by', 'subject', 'pseudonym', 'null'),
  ('consent_household_members', 'user_id', 'user', 'pseudonym', 'null'),
  ('consent_household_members', 'invited_by', 'subject', 'pseudonym', 'null');

-- For whom a household's consent holds now; null: it is not a household's.
create function intra365.consent_members(for_tenant text, subject text) returns text[]
  language sql stable
  return case when subject like 'household:%' then
    array(select m.user_id from intra365.consent_household_members m
           where m.tenant_id = for_tenant and m.household_id = substr(subject, 11) and m.joined_at is not null and m.left_at is null
           order by m.user_id limit 51) end;

-- Whose consents somebody inherits, the organisation's last.
create function intra365.consent_groups(for_tenant text, of_user text) returns text[]
  language sql stable
  return array(select 'household:' || m.household_id from intra365.consent_household_members m
                where m.tenant_id = for_tenant and m.user_id = of_user and m.joined_at is not null and m.left_at is null)
         || ('organisation:' || for_tenant);

-- Holds a household still until the end of the transaction: who changes it, its members or its consents does that first,
-- and whatever reads them in a later statement reads them as they stay. False: there is no such household any more.
create function intra365.hold_household(for_tenant text, of_household text) returns boolean language plpgsql as $$
begin
  perform from intra365.consent_households h where h.tenant_id = for_tenant and h.household_id = of_household and h.ended_at is null for update;
  return found;
end $$;

-- True when somebody may speak for a household.
create function intra365.keeps_household(for_tenant text, of_household text, by_user text) returns boolean
  language sql stable
  return exists (select from intra365.consent_household_members m
                  where m.tenant_id = for_tenant and m.household_id = of_household and m.user_id = by_user and m.keeper
                    and m.joined_at is not null and m.left_at is null);

-- As append_consent_changes, for consents of a household that is held. Nothing is stored where `by_keeper` is given and is no
-- keeper any more.
create function intra365.append_household_consents(for_tenant text, of_household text, by_keeper text, changes jsonb, in_trace text)
  returns setof intra365.consent_records language plpgsql as $$
begin
  if by_keeper is null or intra365.keeps_household(for_tenant, of_household, by_keeper) then
    return query select * from intra365.append_consent_changes(for_tenant, changes, in_trace);
  end if;
end $$;

create function intra365.found_household(for_tenant text, new_household text, by_user text) returns text language plpgsql as $$
begin
  insert into intra365.consent_households (tenant_id, household_id, founded_by) values (for_tenant, new_household, 'user:' || by_user);
  insert into intra365.consent_household_members (tenant_id, household_id, user_id, keeper, invited_by, valid_from, joined_at)
    values (for_tenant, new_household, by_user, true, 'user:' || by_user, now(), now());
  return 'done';
exception when unique_violation then
  return 'elsewhere';
end $$;

create function intra365.invite_to_household(for_tenant text, to_household text, by_user text, of_user text, as_keeper boolean) returns text
  language plpgsql as $$
begin
  if not intra365.hold_household(for_tenant, to_household) then return 'unknown'; end if;
  if not intra365.keeps_household(for_tenant, to_household, by_user) then return 'not_keeper'; end if;
  if (select count(*) from intra365.consent_household_members m
       where m.tenant_id = for_tenant and m.household_id = to_household and m.left_at is null) >= 50 then return 'full'; end if;
  insert into intra365.consent_household_members (tenant_id, household_id, user_id, keeper, invited_by)
    values (for_tenant, to_household, of_user, as_keeper, 'user:' || by_user) on conflict do nothing;
  return case when found then 'done' else 'known' end;
end $$;

create function intra365.join_household(for_tenant text, to_household text, by_user text) returns text language plpgsql as $$
begin
  if not intra365.hold_household(for_tenant, to_household) then return 'unknown'; end if;
  update intra365.consent_household_members m set valid_from = now(), joined_at = now()
   where m.tenant_id = for_tenant and m.household_id = to_household and m.user_id = by_user and m.left_at is null and m.joined_at is null;
  if not found then return 'unknown'; end if;
  update intra365.consent_households h set changed_at = now() where h.tenant_id = for_tenant and h.household_id = to_household;
  return 'done';
exception when unique_violation then
  return 'elsewhere';
end $$;

-- Somebody leaves, or a keeper has them leave; an invitation is withdrawn. Without a keeper a household ends, and with it
-- every stay in it.
create function intra365.leave_household(for_tenant text, from_household text, by_user text, of_user text, since timestamptz) returns text
  language plpgsql as $$
begin
  if not intra365.hold_household(for_tenant, from_household) then return 'unknown'; end if;
  if by_user <> of_user and not intra365.keeps_household(for_tenant, from_household, by_user) then return 'not_keeper'; end if;
  update intra365.consent_household_members m set valid_to = greatest(least(coalesce(since, now()), now()), m.valid_from), left_at = now()
   where m.tenant_id = for_tenant and m.household_id = from_household and m.user_id = of_user and m.left_at is null;
  if not found then return 'unknown'; end if;
  update intra365.consent_households h set changed_at = now() where h.tenant_id = for_tenant and h.household_id = from_household;
  if not exists (select from intra365.consent_household_members m where m.tenant_id = for_tenant and m.household_id = from_household
                    and m.keeper and m.joined_at is not null and m.left_at is null) then
    update intra365.consent_household_members m set valid_to = greatest(now(), m.valid_from), left_at = now()
     where m.tenant_id = for_tenant and m.household_id = from_household and m.left_at is null;
    update intra365.consent_households h set ended_at = now() where h.tenant_id = for_tenant and h.household_id = from_household;
  end if;
  return 'done';
end $$;

-- After a change of members in the same transaction: raises the epochs of those who came or went, and of the newest of the
-- household's consents for each Mate, which tells its enforcement points of all. Locks are taken as everywhere: records, then
-- epochs of people, then of Mates, each in order.
create function intra365.raise_household(for_tenant text, of_household text) returns setof intra365.consent_records language plpgsql as $$
declare
  subject constant text := 'household:' || of_household;
  newest text[]; one text; raised bigint; subject_epoch bigint; stored intra365.consent_records;
begin
  perform from intra365.consent_households h where h.tenant_id = for_tenant and h.household_id = of_household and h.changed_at = now();
  if not found then return; end if;
  newest := array(select distinct on (k.mate_id) k.consent_id from intra365.consent_records k
                   where k.tenant_id = for_tenant and k.user_id = subject and k.status <> 'superseded' order by k.mate_id, k.mate_epoch desc);
  perform from intra365.consent_records k where k.tenant_id = for_tenant and k.consent_id = any(newest) order by k.consent_id for update;
  for one in
    select distinct u from (select m.user_id as u from intra365.consent_household_members m
       where m.tenant_id = for_tenant and m.household_id = of_household and (m.joined_at = now() or m.left_at = now())
      union all select subject) changed order by u
  loop
    raised := intra365.bump_consent_epoch(for_tenant, 'user', one);
    if one = subject then subject_epoch := raised; end if;
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

-- As before, but for the order of two changes for one Mate: what stands in another's place comes before that other is put
-- aside, so that nobody who follows the Mate's epochs sees neither. Where a consent of a group stands behind a person's own,
-- the moment between would be a yes.
create or replace function intra365.append_consent_changes(for_tenant text, changes jsonb, in_trace text)
  returns setof intra365.consent_records language plpgsql as $$
declare
  item jsonb; c jsonb; r jsonb; changed text[]; parents text[];
  user_epoch bigint; new_mate_epoch bigint; stored intra365.consent_records;
begin
  select coalesce(array_agg(e->'change'->>'consentId'), '{}') into changed from jsonb_array_elements(changes) e;
  perform 1 from intra365.consent_records k where k.tenant_id = for_tenant and k.consent_id = any(changed) order by k.consent_id for update;
  if exists (
    select from jsonb_array_elements(changes) e
     where (e->'change'->>'revision')::bigint - 1 <> coalesce(
       (select k.revision from intra365.consent_records k where k.tenant_id = for_tenant and k.consent_id = e->'change'->>'consentId'), 0)) then
    return;
  end if;
  parents := array(select e->'change'->>'parentId' from jsonb_array_elements(changes) e where e->'change'->>'parentId' is not null);
  if cardinality(parents) > 0 then
    perform 1 from intra365.consent_records k where k.tenant_id = for_tenant and k.consent_id = any(parents) order by k.consent_id for share;
  end if;
  for item in
    select e from jsonb_array_elements(changes) e
     order by e->'change'->>'userId', e->'change'->>'mateId', e->'change'->>'event' = 'superseded', e->'change'->>'consentId'
  loop
    c := item->'change';
    r := item->'record';
    user_epoch := intra365.bump_consent_epoch(for_tenant, 'user', c->>'userId');
    new_mate_epoch := intra365.bump_consent_epoch(for_tenant, 'mate', c->>'mateId');
    insert into intra365.consent_records as k
        (tenant_id, consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at, revoked_at, metadata,
         epoch, mate_epoch, status, revision, method, notice_version, superseded_by, parent_id, delegation_depth)
      values (for_tenant, c->>'consentId', c->>'userId', c->>'mateId',
              array(select jsonb_array_elements_text(r->'purposes')), array(select jsonb_array_elements_text(r->'scopes')),
              (r->>'granted')::boolean, (r->>'grantedAt')::timestamptz, (r->>'expiresAt')::timestamptz,
              (r->>'revokedAt')::timestamptz, coalesce(r->'metadata', 'null'), user_epoch, new_mate_epoch,
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
              stored.scopes, stored.expires_at, user_epoch, in_trace, (c->>'validFrom')::timestamptz,
              stored.revision, c->>'method', c->>'noticeVersion', c->>'evidence', c->>'supersededBy',
              stored.parent_id, stored.delegation_depth);
    return next stored;
  end loop;
  for stored in
    with recursive below as (
      select k.consent_id from intra365.consent_records k where k.tenant_id = for_tenant and k.parent_id = any(changed)
      union select k.consent_id from below b join intra365.consent_records k
        on k.tenant_id = for_tenant and k.parent_id = b.consent_id)
    select k.* from intra365.consent_records k join below b on b.consent_id = k.consent_id
     where k.tenant_id = for_tenant and not k.consent_id = any(changed) order by k.mate_id, k.consent_id
  loop
    user_epoch := intra365.bump_consent_epoch(for_tenant, 'user', stored.user_id);
    new_mate_epoch := intra365.bump_consent_epoch(for_tenant, 'mate', stored.mate_id);
    update intra365.consent_records k set epoch = user_epoch, mate_epoch = new_mate_epoch
     where k.tenant_id = for_tenant and k.consent_id = stored.consent_id returning * into stored;
    return next stored;
  end loop;
end $$;

-- Whether a Mate has anything that is inherited is asked with every change of its consents.
create index consent_records_of_groups on intra365.consent_records (mate_id, tenant_id) where position(':' in user_id) > 0;
