-- Who says so stands beside every record of data access: a Mate's enforcement point records its own decisions, and nobody
-- should have to take them for the platform's.

alter table intra365.data_access_logs add column source text;
comment on column intra365.data_access_logs.source is 'Who recorded it, by its token: mate:<id> or platform; null: recorded before sources were kept.';

create or replace function intra365.append_audit(tenants text[], entry_ids text[], ats timestamptz[], sources text[], actors text[], actions text[],
    resources text[], outcomes text[], codes text[], user_ids text[], consent_ids text[], purposes text[], scope_lists text[],
    trace_ids text[], counts bigint[], durations bigint[]) returns bigint
  language plpgsql security definer set search_path = pg_catalog, intra365 set work_mem = '64MB' as $$
declare
  this_batch constant bigint := nextval('intra365.audit_batches');
  part record;
  head intra365.audit_heads;
  added bigint := 0;
begin
  if 'call' = any (actions) then
    insert into intra365.data_access_logs (tenant_id, entry_id, at, user_id, actor, resource, consent_id, purpose, scopes, outcome, trace_id, count, source)
      select e.tenant, e.id, e.at, e.user_id, e.actor, e.resource, e.consent_id, e.purpose, coalesce(e.scopes::text[], '{}'), e.outcome,
             e.trace_id, coalesce(e.count, 1), e.source
        from unnest(tenants, entry_ids, ats, sources, actors, actions, resources, outcomes, user_ids, consent_ids, purposes, scope_lists, trace_ids, counts)
             as e(tenant, id, at, source, actor, action, resource, outcome, user_id, consent_id, purpose, scopes, trace_id, count)
       where e.action = 'call' and e.user_id is not null
      on conflict do nothing;
  end if;
  for part in
    with logged as (
      insert into intra365.audit_logs (tenant_id, entry_id, at, source, actor, action, resource, outcome, code, user_id, consent_id, purpose,
                                       scopes, trace_id, count, duration_us, batch)
        select e.tenant, e.id, e.at, e.source, e.actor, e.action, e.resource, e.outcome, e.code, e.user_id, e.consent_id, e.purpose,
               coalesce(e.scopes::text[], '{}'), e.trace_id, coalesce(e.count, 1), e.duration, this_batch
          from unnest(tenants, entry_ids, ats, sources, actors, actions, resources, outcomes, codes, user_ids, consent_ids, purposes,
                      scope_lists, trace_ids, counts, durations)
               as e(tenant, id, at, source, actor, action, resource, outcome, code, user_id, consent_id, purpose, scopes, trace_id, count, duration)
        on conflict do nothing
        returning tenant_id, at, entry_id, intra365.audit_digest(audit_logs) as digest
    )
    -- In the order of the tenants, so that two appends never wait for each other's heads.
    select l.tenant_id, count(*) as entries, min(l.at) as first_at, max(l.at) as last_at,
           sha256(string_agg(l.digest, ''::bytea order by l.at, l.entry_id)) as digest
      from logged l group by l.tenant_id order by l.tenant_id
  loop
    insert into intra365.audit_heads values (part.tenant_id, 0, ''::bytea) on conflict do nothing;
    select * into head from intra365.audit_heads h where h.tenant_id = part.tenant_id for update;
    head.hash := intra365.audit_block_hash(head.hash, head.block + 1, part.entries, part.digest);
    insert into intra365.audit_blocks (tenant_id, block, batch, entries, first_at, last_at, digest, hash)
      values (part.tenant_id, head.block + 1, this_batch, part.entries, part.first_at, part.last_at, part.digest, head.hash);
    update intra365.audit_heads h set block = head.block + 1, hash = head.hash where h.tenant_id = part.tenant_id;
    added := added + part.entries;
  end loop;
  return added;
end $$;

-- Redactions that the chain does not tell of. An entry that somebody else has recorded tells nothing.
create or replace function intra365.unknown_redactions(for_tenant text) returns bigint
  language sql stable
  return (select count(*) from (select distinct r.erasure_id, r.sweep from intra365.audit_redactions r where r.tenant_id = for_tenant) told
           where not exists (select from intra365.audit_logs a where a.tenant_id = for_tenant and a.action = 'privacy.redact' and a.actor = 'service:privacy'
                              and a.source = 'platform'
                              and a.resource = 'erasure:' || told.erasure_id || ':' || told.sweep || ':' || intra365.redaction_digest(for_tenant, told.erasure_id, told.sweep)));
