-- Epochs of people and Mates count in lines as well (0080).

create or replace function intra365.bump_consent_epoch(for_tenant text, of_kind text, of_id text) returns bigint
  language sql
  as $$ insert into intra365.consent_epochs values (for_tenant, of_kind, of_id, intra365.epoch_base() + 1)
        on conflict (tenant_id, kind, id) do update set epoch = greatest(intra365.consent_epochs.epoch, excluded.epoch - 1) + 1
        returning epoch $$;

create or replace function intra365.append_new_consents(for_tenant text, appended jsonb, traces text[])
  returns setof intra365.consent_records language plpgsql as $$
declare user_epochs bigint[]; mate_epochs bigint[]; base bigint := intra365.epoch_base();
begin
  with given as (
    select a.n, a.e->'change'->>'userId' as user_id, a.e->'change'->>'mateId' as mate_id
      from jsonb_array_elements(appended) with ordinality a(e, n)
  ), raised as (
    insert into intra365.consent_epochs as e (tenant_id, kind, id, epoch)
      select for_tenant, w.kind, w.id, base + count(*)
        from (select 'user' as kind, g.user_id as id from given g union all select 'mate', g.mate_id from given g) w
       group by w.kind, w.id order by w.kind desc, w.id
      on conflict (tenant_id, kind, id) do update set epoch = greatest(e.epoch, base) + excluded.epoch - base
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
