-- New consents come in numbers: a page of them is stored by a few statements, not by a few statements each.

-- Stores consents that nobody has had yet, in the given order; `appended` as of append_consent_changes, `traces` one for each.
-- Locks are taken as everywhere, users before Mates and each in order, then what is new.
create function intra365.append_new_consents(for_tenant text, appended jsonb, traces text[])
  returns setof intra365.consent_records language plpgsql as $$
declare user_epochs bigint[]; mate_epochs bigint[];
begin
  with given as (
    select a.n, a.e->'change'->>'userId' as user_id, a.e->'change'->>'mateId' as mate_id
      from jsonb_array_elements(appended) with ordinality a(e, n)
  ), raised as (
    insert into intra365.consent_epochs as e (tenant_id, kind, id, epoch)
      select for_tenant, w.kind, w.id, count(*)
        from (select 'user' as kind, g.user_id as id from given g union all select 'mate', g.mate_id from given g) w
       group by w.kind, w.id order by w.kind desc, w.id
      on conflict (tenant_id, kind, id) do update set epoch = e.epoch + excluded.epoch
      returning e.kind, e.id, e.epoch
  ), numbered as (
    select g.n,
           u.epoch - count(*) over (partition by g.user_id) + row_number() over (partition by g.user_id order by g.n) as user_epoch,
           m.epoch - count(*) over (partition by g.mate_id) + row_number() over (partition by g.mate_id order by g.n) as mate_epoch
      from given g
      join raised u on u.kind = 'user' and u.id = g.user_id
      join raised m on m.kind = 'mate' and m.id = g.mate_id
  )
  select array_agg(user_epoch order by n), array_agg(mate_epoch order by n) into user_epochs, mate_epochs from numbered;
  insert into intra365.consent_identities (tenant_id, user_id)
    select distinct for_tenant, e->'change'->>'userId' from jsonb_array_elements(appended) e
     where not exists (select from intra365.consent_identities i where i.tenant_id = for_tenant and i.user_id = e->'change'->>'userId')
     order by 2 on conflict do nothing;
  return query
    insert into intra365.consent_records
        (tenant_id, consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at, metadata,
         epoch, mate_epoch, status, revision, method, notice_version, delegation_depth)
      select for_tenant, a.e->'change'->>'consentId', a.e->'change'->>'userId', a.e->'change'->>'mateId', r.purposes, r.scopes,
             r.granted, r."grantedAt", r."expiresAt", coalesce(r.metadata, 'null'), user_epochs[a.n], mate_epochs[a.n],
             r.status, 1, r.method, r."noticeVersion", coalesce(r."delegationDepth", 0)
        from jsonb_array_elements(appended) with ordinality a(e, n),
             jsonb_to_record(a.e->'record') r(purposes text[], scopes text[], granted boolean, "grantedAt" timestamptz,
               "expiresAt" timestamptz, metadata jsonb, status text, method text, "noticeVersion" text, "delegationDepth" int)
       order by a.n
      returning *;
  insert into intra365.consent_history
      (tenant_id, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at, epoch, trace_id,
       valid_from, revision, method, notice_version, evidence, delegation_depth)
    select for_tenant, c."consentId", c."userId", c."mateId", c.event, c.actor, c.purposes, c.scopes, c."expiresAt",
           user_epochs[a.n], traces[a.n], c."validFrom", 1, c.method, c."noticeVersion", c.evidence,
           coalesce(c."delegationDepth", 0)
      from jsonb_array_elements(appended) with ordinality a(e, n),
           jsonb_to_record(a.e->'change') c("consentId" text, "userId" text, "mateId" text, event text, actor text, purposes text[],
             scopes text[], "expiresAt" timestamptz, "validFrom" timestamptz, method text, "noticeVersion" text, evidence text,
             "delegationDepth" int)
     order by a.n;
end $$;

-- Every line of the history is an event; what one statement adds is told at once.
create function intra365.tell_consent_events() returns trigger language plpgsql as $$
begin
  if intra365.current_tenant() is not null and exists (select from added h where h.tenant_id <> intra365.current_tenant()) then
    raise exception 'an event of another tenant' using errcode = 'insufficient_privilege';
  end if;
  perform pg_logical_emit_message(true, 'intra365.event',
      jsonb_build_object('tenant', h.tenant_id, 'account', t.account, 'domain', 'consent', 'type', h.event,
        'data', jsonb_build_object('consentId', h.consent_id, 'userId', h.user_id, 'mateId', h.mate_id, 'epoch', h.epoch),
        'traceId', h.trace_id)::text)
    from (select * from added order by sequence) h join intra365.tenants t using (tenant_id);
  return null;
end $$;
drop trigger consent_event on intra365.consent_history;
drop function intra365.tell_consent_event();
create trigger consent_event after insert on intra365.consent_history referencing new table as added
  for each statement execute function intra365.tell_consent_events();

-- The first change of a consent stands behind nothing, which need not be looked up.
create or replace function intra365.chain_consent_change() returns trigger language plpgsql as $$
declare of_person bytea; before bytea;
begin
  select salt into of_person from intra365.consent_identities where tenant_id = new.tenant_id and user_id = new.user_id;
  if of_person is null then
    insert into intra365.consent_identities (tenant_id, user_id) values (new.tenant_id, new.user_id) on conflict do nothing;
    select salt into of_person from intra365.consent_identities where tenant_id = new.tenant_id and user_id = new.user_id;
  end if;
  if new.revision > 1 or new.event not in ('granted', 'refused', 'delegated') then
    select hash into before from intra365.consent_history
     where tenant_id = new.tenant_id and consent_id = new.consent_id order by sequence desc limit 1;
  end if;
  new.subject := sha256(of_person || convert_to(new.user_id, 'UTF8'));
  new.hash := sha256(coalesce(before, ''::bytea) || convert_to(intra365.consent_statement(new), 'UTF8'));
  return new;
end $$;

-- An index that begins with the tenant looks to the planner as good as the key for finding one row of it, as long as there
-- are no statistics: it then reads all of the tenant's rows. What tells rows apart comes first, so only the key fits.
drop index intra365.consent_records_by_pair, intra365.consent_records_by_mate_epoch, intra365.consent_records_by_parent;
create index consent_records_by_pair on intra365.consent_records (user_id, mate_id, tenant_id);
create unique index consent_records_by_mate_epoch on intra365.consent_records (mate_id, mate_epoch, tenant_id);
create index consent_records_by_parent on intra365.consent_records (parent_id, tenant_id) where parent_id is not null;
drop index intra365.consent_history_by_user, intra365.consent_history_by_consent, intra365.consent_history_by_pair;
create index consent_history_by_user on intra365.consent_history (user_id, tenant_id, sequence);
create index consent_history_by_consent on intra365.consent_history (consent_id, tenant_id, sequence);
drop index intra365.consent_evidence_by_user, intra365.consent_propagation_by_mate;
create index consent_evidence_by_user on intra365.consent_evidence (user_id, tenant_id);
create index consent_propagation_by_mate on intra365.consent_propagation (mate_id, mate_epoch, tenant_id);
