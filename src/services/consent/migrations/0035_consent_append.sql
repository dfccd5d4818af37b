-- Rows are looked up by their keys alone, whatever the planner thinks of the table: a join with the changes read all of a
-- tenant's consents where it was not analysed yet.

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
     order by e->'change'->>'userId', e->'change'->>'mateId', e->'change'->>'consentId'
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
