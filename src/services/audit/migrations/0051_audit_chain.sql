-- The audit trail at volume: partitioned by week, appended to in batches, and chained, so that no entry can be
-- changed, removed or slipped in without breaking what stands behind it.
--
--   digest of a block = sha256 of its entries' digests, ordered by (at, entry_id)
--   hash of a block   = sha256 of (the hash before it, its number, how many entries, their digest)
--
-- The blocks of a tenant are one chain. Whoever has noted a hash can tell later that everything before it still
-- is what it was. `intra365 audit verify` computes all of it anew.

alter table intra365.audit_logs add column batch bigint;
-- Trace ids are random: in a tree each costs a page of its own, half of an append's time. Summaries of blocks of pages
-- cost next to nothing, and a look-up reads them all; a closed partition gets an index that leads straight there.
drop index intra365.audit_logs_by_trace;
create index audit_logs_by_trace on intra365.audit_logs
  using brin (trace_id text_bloom_ops (n_distinct_per_range = 3000)) with (pages_per_range = 128, autosummarize = on);
create index audit_logs_by_batch on intra365.audit_logs using brin (batch);
create sequence intra365.audit_batches;
revoke all on sequence intra365.audit_batches from intra365_service;

create table intra365.audit_blocks (
  tenant_id text not null,
  block     bigint not null,
  batch     bigint not null,
  entries   bigint not null,
  first_at  timestamptz not null,
  last_at   timestamptz not null,
  digest    bytea not null,
  hash      bytea not null,
  made_at   timestamptz not null default clock_timestamp(),
  primary key (tenant_id, block),
  unique (tenant_id, batch)
);
comment on table intra365.audit_blocks is 'The chain over a tenant''s audit entries: one block for each append.';
create table intra365.audit_heads (
  tenant_id text primary key,
  block     bigint not null,
  hash      bytea not null
);
comment on table intra365.audit_heads is 'The last block of each tenant''s chain; its row lock puts appends in order.';
select intra365.protect('audit_blocks');
select intra365.protect('audit_heads');
revoke insert, update, delete on intra365.audit_blocks, intra365.audit_heads from intra365_service;
-- Entries come in by append_audit alone.
revoke insert on intra365.audit_logs, intra365.audit_logs_default, intra365.data_access_logs, intra365.data_access_logs_default from intra365_service;

-- Everything an entry says, in a form in which no two entries are alike: PostgreSQL quotes what a row holds.
create function intra365.audit_digest(e intra365.audit_logs) returns bytea
  language sql stable parallel safe
  return sha256(convert_to(row(e.tenant_id, e.entry_id, encode(timestamptz_send(e.at), 'hex'), e.source, e.actor, e.action, e.resource,
                               e.outcome, e.code, e.user_id, e.consent_id, e.purpose, e.scopes, e.trace_id, e.count, e.duration_us)::text, 'UTF8'));

create function intra365.audit_block_hash(previous bytea, block bigint, entries bigint, digest bytea) returns bytea
  language sql immutable parallel safe
  return sha256(previous || int8send(block) || int8send(entries) || digest);

-- One append: entries of any tenants, as columns. Those that are there already are left out. The feeder writes for
-- every tenant and may do nothing else, so this function of the owner is its only way in.
create function intra365.append_audit(tenants text[], entry_ids text[], ats timestamptz[], sources text[], actors text[], actions text[],
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
    insert into intra365.data_access_logs (tenant_id, entry_id, at, user_id, actor, resource, consent_id, purpose, scopes, outcome, trace_id, count)
      select e.tenant, e.id, e.at, e.user_id, e.actor, e.resource, e.consent_id, e.purpose, coalesce(e.scopes::text[], '{}'), e.outcome,
             e.trace_id, coalesce(e.count, 1)
        from unnest(tenants, entry_ids, ats, actors, actions, resources, outcomes, user_ids, consent_ids, purposes, scope_lists, trace_ids, counts)
             as e(tenant, id, at, actor, action, resource, outcome, user_id, consent_id, purpose, scopes, trace_id, count)
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
revoke all on function intra365.append_audit(text[], text[], timestamptz[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
                                             text[], text[], bigint[], bigint[]) from public;
grant execute on function intra365.append_audit(text[], text[], timestamptz[], text[], text[], text[], text[], text[], text[], text[], text[], text[],
                                                text[], text[], bigint[], bigint[]) to intra365_service;

-- Entries that are older than the chain become its first block.
do $$
declare of_tenant text; this_batch bigint;
begin
  for of_tenant in select distinct tenant_id from intra365.audit_logs order by 1 loop
    this_batch := nextval('intra365.audit_batches');
    update intra365.audit_logs set batch = this_batch where tenant_id = of_tenant;
    insert into intra365.audit_blocks (tenant_id, block, batch, entries, first_at, last_at, digest, hash)
      select of_tenant, 1, this_batch, entries, first_at, last_at, digest, intra365.audit_block_hash('', 1, entries, digest)
        from (select count(*) as entries, min(at) as first_at, max(at) as last_at,
                     sha256(string_agg(intra365.audit_digest(a), ''::bytea order by a.at, a.entry_id)) as digest
                from intra365.audit_logs a where a.tenant_id = of_tenant) as old;
    insert into intra365.audit_heads select tenant_id, block, hash from intra365.audit_blocks where tenant_id = of_tenant;
  end loop;
end $$;
alter table intra365.audit_logs alter column batch set not null;
comment on column intra365.audit_logs.batch is 'Which append it came with: a block of the tenant''s chain.';

-- What services of the version before still call while an upgrade goes on.
create or replace function intra365.append_audit(batch jsonb) returns bigint
  language sql security definer set search_path = pg_catalog, intra365 as $$
  select intra365.append_audit(
      array_agg(r ->> 'tenant'), array_agg(e."entryId"), array_agg(e.at), array_agg(e.source), array_agg(e.actor), array_agg(e.action),
      array_agg(e.resource), array_agg(e.outcome), array_agg(e.code), array_agg(e."userId"), array_agg(e."consentId"), array_agg(e.purpose),
      array_agg(e.scopes::text), array_agg(e."traceId"), array_agg(e.count), array_agg(e."durationUs"))
    from jsonb_array_elements(batch) as r,
         jsonb_to_record(r -> 'entry') as e("entryId" text, at timestamptz, source text, actor text, action text, resource text, outcome text, code text,
           "userId" text, "consentId" text, purpose text, scopes text[], "traceId" text, count bigint, "durationUs" bigint) $$;

-- Words of an entry, to search for: identifiers fall into their parts.
create function intra365.audit_words(action text, resource text, actor text, outcome text, code text, purpose text) returns tsvector
  language sql immutable parallel safe
  return to_tsvector('pg_catalog.simple', translate(action || ' ' || resource || ' ' || actor || ' ' || outcome || ' ' || coalesce(code, '') || ' ' || coalesce(purpose, ''), ':/.-_', '     '));
comment on function intra365.audit_words is 'Indexed once a partition is closed; the open ones are read.';

insert into intra365.partition_policies (table_name, keep, closed_indexes) values
  ('audit_logs', '400 days', array['using gin (intra365.audit_words(action, resource, actor, outcome, code, purpose))',
                                   'using hash (trace_id)']),
  ('data_access_logs', '400 days', '{}');
select intra365.maintain_partitions();
