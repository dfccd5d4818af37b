-- People's rights over their data. Where personal data lies is declared once, column by column; export and erasure follow
-- from it, and a test compares it with every table there is.

create table intra365.personal_columns (
  table_name  text not null,
  column_name text not null,
  holds       text not null check (holds in ('user', 'subject', 'text', 'mention', 'content', 'secret')),
  on_erasure  text not null check (on_erasure in ('pseudonym', 'delete', 'clear', 'keep')),
  clear_to    text not null default 'null',
  primary key (table_name, column_name)
);
comment on table intra365.personal_columns is 'Where personal data lies, and what becomes of it when the person is erased.';
comment on column intra365.personal_columns.holds is 'user: the person''s id; subject: user:<id>; text: words that may name them; mention: JSON that may name them; content: what the rows of the person hold; secret: never exported.';
comment on column intra365.personal_columns.on_erasure is 'pseudonym: the name is replaced; delete: the row goes; clear: the column becomes clear_to, an expression.';
revoke insert, update, delete on intra365.personal_columns from intra365_service;

insert into intra365.personal_columns (table_name, column_name, holds, on_erasure, clear_to) values
  ('user_sessions', 'user_id', 'user', 'delete', 'null'),
  ('user_identities', 'user_id', 'user', 'delete', 'null'),
  ('users', 'user_id', 'user', 'delete', 'null'),
  ('api_keys', 'principal_id', 'user', 'delete', 'null'),
  ('api_keys', 'secret_hash', 'secret', 'keep', 'null'),
  ('refresh_tokens', 'principal_id', 'user', 'delete', 'null'),
  ('refresh_tokens', 'token_hash', 'secret', 'keep', 'null'),
  ('refresh_tokens', 'successor_sealed', 'secret', 'keep', 'null'),
  ('tokens', 'principal_id', 'user', 'pseudonym', 'null'),
  ('token_revocations', 'subject', 'subject', 'pseudonym', 'null'),
  ('token_revocations', 'revoked_by', 'subject', 'pseudonym', 'null'),
  ('principals', 'principal_id', 'user', 'delete', 'null'),
  ('consent_evidence', 'user_id', 'user', 'delete', 'null'),
  ('consent_evidence', 'sealed', 'secret', 'keep', 'null'),
  ('consent_identities', 'user_id', 'user', 'delete', 'null'),
  ('consent_identities', 'sealed_key', 'secret', 'keep', 'null'),
  ('consent_records', 'user_id', 'user', 'pseudonym', 'null'),
  ('consent_records', 'metadata', 'content', 'clear', '''null''::jsonb'),
  ('consent_history', 'user_id', 'user', 'pseudonym', 'null'),
  ('consent_history', 'actor', 'subject', 'pseudonym', 'null'),
  ('consent_history', 'evidence', 'content', 'clear', 'case when evidence like ''evidence:%'' then evidence end'),
  ('consent_renewals', 'asked_by', 'subject', 'pseudonym', 'null'),
  ('consent_epochs', 'id', 'user', 'pseudonym', 'null'),
  ('audit_logs', 'user_id', 'user', 'pseudonym', 'null'),
  ('audit_logs', 'actor', 'subject', 'pseudonym', 'null'),
  ('audit_logs', 'resource', 'text', 'pseudonym', 'null'),
  ('data_access_logs', 'user_id', 'user', 'pseudonym', 'null'),
  ('data_access_logs', 'actor', 'subject', 'pseudonym', 'null'),
  ('data_access_logs', 'resource', 'text', 'pseudonym', 'null'),
  ('legal_holds', 'user_id', 'user', 'pseudonym', 'null'),
  ('legal_holds', 'placed_by', 'subject', 'pseudonym', 'null'),
  ('legal_holds', 'released_by', 'subject', 'pseudonym', 'null'),
  ('legal_holds', 'reason', 'text', 'pseudonym', 'null'),
  ('llm_requests', 'user_id', 'user', 'pseudonym', 'null'),
  ('llm_requests', 'metadata', 'content', 'clear', '''{}''::jsonb'),
  ('llm_requests', 'prompt_sha256', 'content', 'clear', 'sha256(''''::bytea)'),
  ('llm_responses', 'user_id', 'user', 'delete', 'null'),
  ('llm_usage', 'user_id', 'user', 'pseudonym', 'null'),
  ('llm_fine_tuning', 'created_by', 'subject', 'pseudonym', 'null'),
  ('policies', 'updated_by', 'subject', 'pseudonym', 'null'),
  ('policy_versions', 'changed_by', 'subject', 'pseudonym', 'null'),
  ('policy_evaluations', 'request', 'mention', 'delete', 'null'),
  ('policy_evaluations', 'attributes', 'mention', 'delete', 'null'),
  ('system_events', 'details', 'mention', 'delete', 'null');

create table intra365.privacy_requests (
  tenant_id    text not null,
  request_id   text not null,
  kind         text not null check (kind in ('access', 'rectification', 'objection', 'opt_out', 'erasure')),
  state        text not null default 'open' check (state in ('open', 'working', 'done', 'refused')),
  user_id      text,
  text         text,
  received_at  timestamptz not null default now(),
  due_at       timestamptz not null,
  resolved_at  timestamptz,
  resolution   text,
  sealed_user  bytea,
  pseudonym    text,
  rows_changed bigint not null default 0,
  messages     bigint not null default 0,
  shut_out     boolean not null default false,
  next_sweep   timestamptz,
  primary key (tenant_id, request_id)
);
create index privacy_requests_by_due on intra365.privacy_requests (tenant_id, due_at) where state in ('open', 'working');
create index privacy_requests_to_sweep on intra365.privacy_requests (next_sweep) where state = 'working';
select intra365.protect('privacy_requests');
comment on table intra365.privacy_requests is 'What people asked for under their rights, its deadline and what became of it.';
comment on column intra365.privacy_requests.shut_out is 'Consents and credentials of the person have ended.';
comment on column intra365.privacy_requests.sealed_user is 'Whom an erasure is about, sealed; gone once it is done.';
insert into intra365.personal_columns values
  ('privacy_requests', 'user_id', 'user', 'pseudonym', 'null'),
  ('privacy_requests', 'text', 'content', 'clear', 'null'),
  ('privacy_requests', 'resolution', 'content', 'clear', 'null'),
  ('privacy_requests', 'sealed_user', 'secret', 'keep', 'null');

-- Entries of the audit trail that were changed by an erasure: the digest before, which the chain was made of, and the one
-- after. `audit verify` accepts an entry as it was recorded, or as its last redaction left it, and nothing else; the digest
-- of all redactions of a sweep is itself an entry of the chain.
create table intra365.audit_redactions (
  number     bigint generated always as identity primary key,
  tenant_id  text not null,
  at         timestamptz not null,
  entry_id   text not null,
  erasure_id text not null,
  sweep      int not null,
  recorded   bytea not null,
  redacted   bytea not null
);
create index audit_redactions_by_entry on intra365.audit_redactions (tenant_id, at, entry_id, number);
create index audit_redactions_by_erasure on intra365.audit_redactions (tenant_id, erasure_id, sweep);
select intra365.protect('audit_redactions');
revoke insert, update, delete on intra365.audit_redactions from intra365_service;
comment on table intra365.audit_redactions is 'Audit entries that no longer name a person who was erased, with their digests before and after.';

-- What an entry's block was made of. An entry may be redacted for one person after another: each redaction has to follow
-- from the one before, and the entry from the last.
create function intra365.audit_recorded_digest(e intra365.audit_logs) returns bytea
  language sql stable parallel safe
  return (
    with steps as (
      select r.recorded, r.redacted, r.number, lag(r.redacted) over (order by r.number) as before, lead(r.recorded) over (order by r.number) as after
        from intra365.audit_redactions r where r.tenant_id = e.tenant_id and r.at = e.at and r.entry_id = e.entry_id)
    select case when bool_and((before is null or before = recorded) and (after is not null or redacted = intra365.audit_digest(e)))
                then (array_agg(recorded order by number))[1] else intra365.audit_digest(e) end
      from steps);

-- How many entries a sweep redacted, and the digest of it all; null: none.
create function intra365.redaction_digest(for_tenant text, of_erasure text, of_sweep int) returns text
  language sql stable
  return (select count(*) || ':' || encode(sha256(string_agg(r.recorded || r.redacted, ''::bytea order by r.at, r.entry_id)), 'hex')
            from intra365.audit_redactions r where r.tenant_id = for_tenant and r.erasure_id = of_erasure and r.sweep = of_sweep);

-- Redactions that the chain does not tell of.
create function intra365.unknown_redactions(for_tenant text) returns bigint
  language sql stable
  return (select count(*) from (select distinct r.erasure_id, r.sweep from intra365.audit_redactions r where r.tenant_id = for_tenant) told
           where not exists (select from intra365.audit_logs a where a.tenant_id = for_tenant and a.action = 'privacy.redact' and a.actor = 'service:privacy'
                              and a.resource = 'erasure:' || told.erasure_id || ':' || told.sweep || ':' || intra365.redaction_digest(for_tenant, told.erasure_id, told.sweep)));

-- Which rows of a table concern a person, as a condition with $1 = tenant, $2 = user id, $3 = user:<id>, $4 = a pattern.
create function intra365.personal_condition(of_table text) returns text
  language sql stable
  return (select string_agg(case c.holds
                     when 'user' then format('t.%I = $2', c.column_name)
                     when 'subject' then format('t.%I = $3', c.column_name)
                     when 'text' then format('t.%I ~ $4', c.column_name)
                     when 'mention' then format('jsonb_path_exists(t.%I, ''$.** ? (@ == $user || @ == $subject)'', jsonb_build_object(''user'', $2, ''subject'', $3))', c.column_name)
                   end, ' or ' order by c.column_name)
            from intra365.personal_columns c where c.table_name = of_table and c.holds in ('user', 'subject', 'text', 'mention'));

-- A name that stands by itself, not as a part of a longer one.
create function intra365.word_pattern(word text) returns text
  language sql immutable parallel safe
  return '(^|[^A-Za-z0-9_-])' || word || '($|[^A-Za-z0-9_-])';

create function intra365.has_tenant(of_table text) returns boolean
  language sql stable
  return exists (select from pg_attribute where attrelid = ('intra365.' || quote_ident(of_table))::regclass and attname = 'tenant_id' and not attisdropped);

-- Rows that concern a person: those of a table, in the order of its key. `mention` alone does not make a row theirs.
create function intra365.export_person(for_tenant text, of_user text, of_table text, skip bigint, at_most int)
  returns setof jsonb language plpgsql stable security definer set search_path = pg_catalog, intra365 as $$
declare by_key text; hidden text[];
begin
  if intra365.current_tenant() is distinct from for_tenant then
    raise exception 'an export of another tenant' using errcode = 'insufficient_privilege';
  end if;
  if not exists (select from intra365.personal_columns c where c.table_name = of_table) then
    raise exception 'no personal data in %', of_table using errcode = 'invalid_parameter_value';
  end if;
  select string_agg(format('t.%I', a.attname), ', ' order by k.position) into by_key
    from pg_index i, unnest(i.indkey) with ordinality as k(attnum, position), pg_attribute a
   where i.indrelid = ('intra365.' || quote_ident(of_table))::regclass and i.indisprimary and a.attrelid = i.indrelid and a.attnum = k.attnum;
  select coalesce(array_agg(c.column_name), '{}') into hidden from intra365.personal_columns c where c.table_name = of_table and c.holds = 'secret';
  return query execute format('select to_jsonb(t) - $5::text[] from intra365.%I t where %s (%s) order by %s offset $6 limit $7', of_table,
      case when intra365.has_tenant(of_table) then 't.tenant_id = $1 and' else '$1 is not null and' end, intra365.personal_condition(of_table), by_key)
    using for_tenant, of_user, 'user:' || of_user, intra365.word_pattern(of_user), hidden, skip, at_most;
end $$;

-- One sweep of an erasure: every row that still names the person is changed or removed, all or none. Returns how many.
create function intra365.erase_person(for_tenant text, of_user text, as_pseudonym text, of_erasure text, of_sweep int) returns bigint
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare
  one record;
  subject constant text := 'user:' || of_user;
  new_subject constant text := 'user:' || as_pseudonym;
  pattern constant text := intra365.word_pattern(of_user);
  in_tenant text; theirs text; assignments text; touched bigint; total bigint := 0; proof text;
begin
  if intra365.current_tenant() is distinct from for_tenant then
    raise exception 'an erasure of another tenant' using errcode = 'insufficient_privilege';
  end if;
  if of_user !~ '^[A-Za-z0-9_-]{1,64}$' or as_pseudonym !~ '^erased-[0-9a-f]{32}$' then
    raise exception 'not a person or not a pseudonym' using errcode = 'invalid_parameter_value';
  end if;
  -- What the chain of the trail was made of, before it changes.
  create temporary table erased_entries on commit drop as
    select a.at, a.entry_id, intra365.audit_digest(a) as recorded from intra365.audit_logs a
     where a.tenant_id = for_tenant and (a.user_id = of_user or a.actor = subject or a.resource ~ pattern);
  for one in
    select c.table_name, bool_or(c.on_erasure = 'delete') as rows_go from intra365.personal_columns c
     group by c.table_name
     -- A row goes after those that refer to it.
     order by array_position(array['users', 'principals'], c.table_name) nulls first, c.table_name
  loop
    in_tenant := case when intra365.has_tenant(one.table_name) then 't.tenant_id = $1 and' else '$1 is not null and' end;
    theirs := intra365.personal_condition(one.table_name);
    if one.rows_go then
      execute format('delete from intra365.%I t where %s (%s)', one.table_name, in_tenant, theirs)
        using for_tenant, of_user, subject, pattern;
    else
      select string_agg(case
               when c.holds = 'user' then format('%1$I = case when t.%1$I = $2 then $5 else t.%1$I end', c.column_name)
               when c.holds = 'subject' then format('%1$I = case when t.%1$I = $3 then $6 else t.%1$I end', c.column_name)
               when c.holds = 'text' then format('%1$I = regexp_replace(t.%1$I, $4, ''\1'' || $5 || ''\2'', ''g'')', c.column_name)
               when c.holds = 'content' and c.on_erasure = 'clear' then format('%1$I = case when %3$s then %2$s else t.%1$I end', c.column_name, c.clear_to,
                 (select string_agg(format('t.%I = $2', u.column_name), ' or ') from intra365.personal_columns u where u.table_name = c.table_name and u.holds = 'user'))
             end, ', ') into assignments
        from intra365.personal_columns c where c.table_name = one.table_name and c.on_erasure <> 'keep';
      execute format('update intra365.%I t set %s where %s (%s)', one.table_name, assignments, in_tenant, theirs)
        using for_tenant, of_user, subject, pattern, as_pseudonym, new_subject;
    end if;
    get diagnostics touched = row_count;
    total := total + touched;
  end loop;
  insert into intra365.audit_redactions (tenant_id, at, entry_id, erasure_id, sweep, recorded, redacted)
    select for_tenant, a.at, a.entry_id, of_erasure, of_sweep, e.recorded, intra365.audit_digest(a)
      from erased_entries e join intra365.audit_logs a on a.tenant_id = for_tenant and a.at = e.at and a.entry_id = e.entry_id;
  drop table erased_entries;
  proof := intra365.redaction_digest(for_tenant, of_erasure, of_sweep);
  if proof is not null then
    perform intra365.append_audit(jsonb_build_array(jsonb_build_object('tenant', for_tenant, 'entry', jsonb_build_object(
      'entryId', of_erasure || '-' || of_sweep, 'at', now(), 'source', 'platform', 'actor', 'service:privacy', 'action', 'privacy.redact',
      'resource', 'erasure:' || of_erasure || ':' || of_sweep || ':' || proof, 'outcome', 'allowed', 'scopes', jsonb_build_array()))));
  end if;
  return total;
end $$;
comment on function intra365.erase_person is 'Replaces a person by a pseudonym everywhere, and removes what only concerned them.';

-- Whether somebody may not be forgotten yet.
create function intra365.is_held(for_tenant text, of_user text) returns boolean
  language sql stable
  return exists (select from intra365.legal_holds h where h.tenant_id = for_tenant and h.released_at is null and (h.user_id is null or h.user_id = of_user));

-- Erasures that are to be swept now, of any tenant, taken for a while by whoever asks.
create function intra365.claim_erasures(at_most int, for_seconds int)
  returns table (tenant_id text, request_id text, sealed_user bytea, pseudonym text, received_at timestamptz, shut_out boolean, sweep int)
  language sql security definer set search_path = pg_catalog, intra365 as $$
  update intra365.privacy_requests r set next_sweep = now() + make_interval(secs => for_seconds)
   where (r.tenant_id, r.request_id) in (
     select c.tenant_id, c.request_id from intra365.privacy_requests c
      where c.state = 'working' and c.kind = 'erasure' and c.next_sweep <= now() order by c.next_sweep limit at_most for update skip locked)
  returning r.tenant_id, r.request_id, r.sealed_user, r.pseudonym, r.received_at, r.shut_out,
            (select coalesce(max(a.sweep), 0) + 1 from intra365.audit_redactions a where a.tenant_id = r.tenant_id and a.erasure_id = r.request_id) $$;

create function intra365.tell_privacy_event() returns trigger language plpgsql as $$
begin
  if new.kind = 'erasure' and (tg_op = 'INSERT' or new.state is distinct from old.state) then
    perform intra365.tell_event(new.tenant_id, 'privacy', case new.state when 'working' then 'erasing' else 'erased' end,
      jsonb_build_object('requestId', new.request_id, 'pseudonym', new.pseudonym));
  elsif tg_op = 'INSERT' then
    perform intra365.tell_event(new.tenant_id, 'privacy', 'requested',
      jsonb_build_object('requestId', new.request_id, 'kind', new.kind, 'userId', new.user_id, 'dueAt', new.due_at));
  elsif new.state is distinct from old.state then
    perform intra365.tell_event(new.tenant_id, 'privacy', 'resolved',
      jsonb_build_object('requestId', new.request_id, 'kind', new.kind, 'userId', new.user_id, 'state', new.state));
  end if;
  return null;
end $$;
create trigger privacy_event after insert or update on intra365.privacy_requests
  for each row execute function intra365.tell_privacy_event();

revoke all on function intra365.export_person, intra365.erase_person, intra365.claim_erasures from public;
grant execute on function intra365.export_person, intra365.erase_person, intra365.claim_erasures to intra365_service;
