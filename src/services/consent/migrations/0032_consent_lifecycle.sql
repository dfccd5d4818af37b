-- The whole life of a consent: refusals, pauses, renewals, what stands in whose place; revisions, so that of two
-- writers one wins; and for every change since when it holds, beside when we learned it.

alter table intra365.consent_records
  add column status text not null default 'active' check (status in ('active', 'refused', 'suspended', 'revoked', 'superseded')),
  add column revision bigint not null default 1,
  add column method text,
  add column notice_version text,
  add column superseded_by text;
update intra365.consent_records set status = 'revoked', revision = 2 where not granted;
alter table intra365.consent_records add constraint consent_records_granted check (granted = (status = 'active'));

alter table intra365.consent_history
  add column valid_from timestamptz not null default now(),
  add column revision bigint not null default 1,
  add column method text,
  add column notice_version text,
  add column evidence text,
  add column superseded_by text,
  drop constraint consent_history_event_check,
  add constraint consent_history_event_check check
    (event in ('granted', 'refused', 'narrowed', 'renewed', 'suspended', 'resumed', 'revoked', 'expired', 'superseded'));
update intra365.consent_history set valid_from = recorded_at, revision = case event when 'revoked' then 2 else 1 end;
create index consent_history_by_pair on intra365.consent_history (tenant_id, user_id, mate_id, sequence);

alter table intra365.consent_purposes
  add column default_days int check (default_days between 1 and 3653),
  add column max_days int check (max_days between 1 and 3653);

create table intra365.consent_settings (
  tenant_id        text primary key,
  catalogue_closed boolean not null default false
);
select intra365.protect('consent_settings');
comment on table intra365.consent_settings is 'How a tenant asks for consent.';

drop function intra365.grant_consent(text, text, text, text, text[], text[], timestamptz, jsonb, text, text);
drop function intra365.revoke_consent(text, text, text, text, text, text);

-- Stores changes with the records they lead to, all or none: nothing is returned and nothing stored where a
-- record is not at the revision before its change any more. Records are locked and epochs raised in
-- one order everywhere, so that two callers never wait for each other.
create function intra365.append_consent_changes(for_tenant text, changes jsonb, in_trace text)
  returns setof intra365.consent_records language plpgsql as $$
declare
  item jsonb; c jsonb; r jsonb; wanted int; held int;
  user_epoch bigint; new_mate_epoch bigint; stored intra365.consent_records;
begin
  select count(*) into wanted from jsonb_array_elements(changes) e where (e->'change'->>'revision')::bigint > 1;
  if wanted > 0 then
    select count(*) into held from (
      select 1 from intra365.consent_records k join jsonb_array_elements(changes) e
          on k.consent_id = e->'change'->>'consentId' and k.revision = (e->'change'->>'revision')::bigint - 1
       where k.tenant_id = for_tenant order by k.consent_id for update of k) locked;
    if held <> wanted then return; end if;
  end if;
  for item in
    select e from jsonb_array_elements(changes) e
     order by e->'change'->>'userId', e->'change'->>'mateId', e->'change'->>'consentId'
  loop
    c := item->'change';
    r := item->'record';
    user_epoch := intra365.bump_consent_epoch(for_tenant, 'user', c->>'userId');
    new_mate_epoch := intra365.bump_consent_epoch(for_tenant, 'mate', c->>'mateId');
    insert into intra365.consent_records as k
        (tenant_id, consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at, revoked_at, metadata,
         epoch, mate_epoch, status, revision, method, notice_version, superseded_by)
      values (for_tenant, c->>'consentId', c->>'userId', c->>'mateId',
              array(select jsonb_array_elements_text(r->'purposes')), array(select jsonb_array_elements_text(r->'scopes')),
              (r->>'granted')::boolean, (r->>'grantedAt')::timestamptz, (r->>'expiresAt')::timestamptz,
              (r->>'revokedAt')::timestamptz, coalesce(r->'metadata', 'null'), user_epoch, new_mate_epoch,
              r->>'status', (c->>'revision')::bigint, r->>'method', r->>'noticeVersion', r->>'supersededBy')
      on conflict (tenant_id, consent_id) do update set
        purposes = excluded.purposes, scopes = excluded.scopes, granted = excluded.granted,
        expires_at = excluded.expires_at, revoked_at = excluded.revoked_at, epoch = excluded.epoch,
        mate_epoch = excluded.mate_epoch, status = excluded.status, revision = excluded.revision,
        superseded_by = excluded.superseded_by, expiry_told = k.expiry_told and k.expires_at is not distinct from excluded.expires_at
      returning * into stored;
    insert into intra365.consent_history
        (tenant_id, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at, epoch, trace_id,
         valid_from, revision, method, notice_version, evidence, superseded_by)
      values (for_tenant, stored.consent_id, stored.user_id, stored.mate_id, c->>'event', c->>'actor', stored.purposes,
              stored.scopes, stored.expires_at, user_epoch, in_trace, (c->>'validFrom')::timestamptz,
              stored.revision, c->>'method', c->>'noticeVersion', c->>'evidence', c->>'supersededBy');
    return next stored;
  end loop;
end $$;

create or replace function intra365.tell_expired_consents(at_most int)
  returns table (tenant_id text, consent_id text, user_id text, mate_id text, epoch bigint)
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare gone intra365.consent_records;
begin
  for gone in
    select * from intra365.consent_records r where r.granted and not r.expiry_told and r.expires_at <= now()
     order by r.expires_at limit at_most for update skip locked
  loop
    update intra365.consent_records r set expiry_told = true where r.tenant_id = gone.tenant_id and r.consent_id = gone.consent_id;
    insert into intra365.consent_history (tenant_id, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at, epoch, valid_from, revision)
      values (gone.tenant_id, gone.consent_id, gone.user_id, gone.mate_id, 'expired', 'system', gone.purposes, gone.scopes, gone.expires_at, gone.epoch, gone.expires_at, gone.revision);
    return query select gone.tenant_id, gone.consent_id, gone.user_id, gone.mate_id, gone.epoch;
  end loop;
end $$;
