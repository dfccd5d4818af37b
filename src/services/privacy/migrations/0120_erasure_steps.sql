-- Erasures in steps: each looks at a bounded number of rows, and what it has reached is kept, so that an erasure ends on a
-- platform of any size, and a crash costs one step. Who may not be forgotten is asked inside each step.

alter table intra365.personal_columns add column only_where text;
comment on column intra365.personal_columns.only_where is 'An SQL condition on t, $1 being the tenant: the rows in which the column speaks of a person; null: all.';
-- zero-downtime: rewrite: a table of settings, of a few rows for each table
update intra365.personal_columns set only_where = 't.kind = ''user''' where table_name in ('consent_epochs', 'principals');
-- zero-downtime: rewrite: a table of settings, of a few rows for each table
update intra365.personal_columns set only_where = 'coalesce(t.details ->> ''tenant'', $1) = $1' where table_name = 'system_events';

alter table intra365.privacy_requests
  add column claim bigint not null default 0,
  add column progress jsonb,
  add column held boolean not null default false;
comment on column intra365.privacy_requests.claim is 'Which taking of an erasure is the latest: what an earlier one has found is not written any more.';
comment on column intra365.privacy_requests.progress is 'How far an erasure has got: the table and key, and of each stream the sequence.';
comment on column intra365.privacy_requests.held is 'A legal hold was met on the way; the erasure waits for its release.';
insert into intra365.personal_columns values ('privacy_requests', 'progress', 'secret', 'keep', 'null');

-- A hold waits for the steps that are under way, and every later step sees it.
create function intra365.hold_lock(for_tenant text) returns bigint
  language sql immutable
  return hashtextextended('intra365.legal_holds.' || for_tenant, 0);
create function intra365.stop_erasures() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock(intra365.hold_lock(new.tenant_id));
  return new;
end $$;
create trigger hold_stops_erasures before insert on intra365.legal_holds
  for each row execute function intra365.stop_erasures();

-- Accepts an erasure unless somebody holds the person's data. False: held.
create function intra365.begin_erasure(for_tenant text, new_request text, of_user text, sealed bytea, as_pseudonym text, due timestamptz)
  returns boolean language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(intra365.hold_lock(for_tenant));
  if intra365.is_held(for_tenant, of_user) then return false; end if;
  insert into intra365.privacy_requests (tenant_id, request_id, kind, state, due_at, sealed_user, pseudonym, next_sweep)
    values (for_tenant, new_request, 'erasure', 'working', due, sealed, as_pseudonym, now());
  return true;
end $$;

-- zero-downtime: drop: instances of the version before take no erasures any more; those of this version do, from where they are
drop function intra365.claim_erasures(int, int);
create function intra365.claim_erasures(at_most int, for_seconds int)
  returns table (tenant_id text, request_id text, sealed_user bytea, pseudonym text, received_at timestamptz, claim bigint, progress jsonb)
  language sql security definer set search_path = pg_catalog, intra365 as $$
  update intra365.privacy_requests r set next_sweep = now() + make_interval(secs => for_seconds), claim = r.claim + 1
   where (r.tenant_id, r.request_id) in (
     select c.tenant_id, c.request_id from intra365.privacy_requests c
      where c.state = 'working' and c.kind = 'erasure' and c.next_sweep <= now() order by c.next_sweep limit at_most for update skip locked)
  returning r.tenant_id, r.request_id, r.sealed_user, r.pseudonym, r.received_at, r.claim, r.progress $$;

-- Where JSON names a person: `$5` of a condition.
create function intra365.mention_path(of_user text) returns jsonpath
  language sql immutable
  return format('$.** ? (@ == %1$s || @ like_regex %2$s || @.resource like_regex %3$s)', to_jsonb(of_user),
                to_jsonb(intra365.word_pattern('user:' || of_user)), to_jsonb(intra365.word_pattern(of_user)))::jsonpath;

-- Which rows of a table concern a person, as a condition with $1 = tenant, $2 = user id, $3 = user:<id>, $4 = a pattern,
-- $5 = a path.
create or replace function intra365.personal_condition(of_table text) returns text
  language sql stable
  return (select string_agg('(' || case c.holds
                     when 'user' then format('t.%I = $2', c.column_name)
                     when 'subject' then format('t.%I = $3', c.column_name)
                     when 'text' then format('t.%I ~ $4', c.column_name)
                     when 'mention' then format('t.%I @? $5', c.column_name)
                   end || coalesce(' and ' || c.only_where, '') || ')', ' or ' order by c.column_name)
            from intra365.personal_columns c where c.table_name = of_table and c.holds in ('user', 'subject', 'text', 'mention'));

-- Whether an index leads to all of a person's rows of a table.
create function intra365.is_found_by_index(of_table text) returns boolean
  language sql stable
  return (select bool_and(c.holds in ('user', 'subject') and exists (
            select from pg_index i join pg_attribute a on a.attrelid = i.indrelid and a.attname = c.column_name
             where i.indrelid = ('intra365.' || quote_ident(of_table))::regclass and i.indisvalid
               and (i.indkey[0] = a.attnum or (i.indkey[1] = a.attnum and i.indkey[0] = (
                 select t.attnum from pg_attribute t where t.attrelid = i.indrelid and t.attname = 'tenant_id')))
               and (i.indpred is null or pg_get_expr(i.indpred, i.indrelid) = format('(%I IS NOT NULL)', c.column_name))))
            from intra365.personal_columns c where c.table_name = of_table and c.holds in ('user', 'subject', 'text', 'mention'));

-- The primary key of a table without the tenant: as columns of t, and as the literals of one row's key.
create function intra365.key_of(of_table text) returns text
  language sql stable
  return (select string_agg(format('t.%I', a.attname), ', ' order by k.position)
            from pg_index i, unnest(i.indkey) with ordinality as k(attnum, position), pg_attribute a
           where i.indrelid = ('intra365.' || quote_ident(of_table))::regclass and i.indisprimary
             and a.attrelid = i.indrelid and a.attnum = k.attnum and a.attname <> 'tenant_id');
create function intra365.key_literals(of_table text, key jsonb) returns text
  language sql stable
  return (select string_agg(format('%L::%s', key ->> a.attname, format_type(a.atttypid, a.atttypmod)), ', ' order by k.position)
            from pg_index i, unnest(i.indkey) with ordinality as k(attnum, position), pg_attribute a
           where i.indrelid = ('intra365.' || quote_ident(of_table))::regclass and i.indisprimary
             and a.attrelid = i.indrelid and a.attnum = k.attnum and a.attname <> 'tenant_id');

-- Whether any row names somebody; `by_index`: in the tables where an index tells, else in all others, which takes as long as
-- reading them. Never a Mate: they share one name space with people, and are not erased.
create function intra365.is_named(for_tenant text, of_user text, by_index boolean) returns boolean
  language plpgsql stable security definer set search_path = pg_catalog, intra365 as $$
declare one text; found_one boolean;
begin
  if intra365.current_tenant() is distinct from for_tenant then
    raise exception 'somebody of another tenant' using errcode = 'insufficient_privilege';
  end if;
  if of_user !~ '^[A-Za-z0-9_-]{1,64}$'
     or exists (select from intra365.principals p where p.tenant_id = for_tenant and p.principal_id = of_user and p.kind = 'mate') then
    return false;
  end if;
  for one in select distinct c.table_name from intra365.personal_columns c where c.holds in ('user', 'subject', 'text', 'mention') order by 1 loop
    continue when intra365.is_found_by_index(one) <> by_index;
    execute format('select exists (select from intra365.%I t where %s and (%s))', one,
        case when intra365.has_tenant(one) then 't.tenant_id = $1' else '$1 is not null' end, intra365.personal_condition(one))
      into found_one using for_tenant, of_user, 'user:' || of_user, intra365.word_pattern(of_user), intra365.mention_path(of_user);
    if found_one then return true; end if;
  end loop;
  return false;
end $$;

-- What somebody who is to be erased still takes part in: it has to end, and be told, before their name goes.
create function intra365.has_standing(for_tenant text, of_user text) returns boolean
  language sql stable
  return exists (select from intra365.consent_records r
                  where r.tenant_id = for_tenant and r.user_id = of_user and r.status in ('active', 'suspended'))
      or exists (select from intra365.consent_household_members m
                  where m.tenant_id = for_tenant and m.user_id = of_user and m.left_at is null);

-- One step of an erasure through one table. Rows that an index finds are taken `at_most` at a time; other tables are walked
-- along their key, from behind `after` on. `outcome` says how it went: held (a legal hold forbids it), standing (a consent
-- of theirs has to be revoked first: nothing was changed), more (go on behind `reached`), done (with this table).
-- zero-downtime: drop: only who has taken an erasure calls it; it is tried again by an instance of this version
drop function intra365.erase_person(text, text, text, text, int);
create function intra365.erase_rows(for_tenant text, of_user text, as_pseudonym text, of_erasure text, of_table text, after jsonb, at_most int)
  returns table (outcome text, touched bigint, reached jsonb)
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare
  subject constant text := 'user:' || of_user;
  new_subject constant text := 'user:' || as_pseudonym;
  pattern constant text := intra365.word_pattern(of_user);
  path constant jsonpath := intra365.mention_path(of_user);
  key constant text := intra365.key_of(of_table);
  theirs constant text := intra365.personal_condition(of_table);
  by_index constant boolean := intra365.is_found_by_index(of_table);
  in_tenant constant text := case when intra365.has_tenant(of_table) then 't.tenant_id = $1' else '$1 is not null' end;
  chosen text; assignments text; sweep int; proof text;
  before intra365.audit_redactions[];
begin
  if intra365.current_tenant() is distinct from for_tenant then
    raise exception 'an erasure of another tenant' using errcode = 'insufficient_privilege';
  end if;
  if of_user !~ '^[A-Za-z0-9_-]{1,64}$' or as_pseudonym !~ '^erased-[0-9a-f]{32}$' or theirs is null then
    raise exception 'not a person, not a pseudonym, or no table of people' using errcode = 'invalid_parameter_value';
  end if;
  touched := 0;
  perform pg_advisory_xact_lock_shared(intra365.hold_lock(for_tenant));
  if intra365.is_held(for_tenant, of_user) then
    outcome := 'held'; reached := after;
    return next;
    return;
  end if;
  if starts_with(of_table, 'consent_') then
    -- As whoever changes a consent holds them; whoever grants one meanwhile waits.
    perform intra365.hold_person_consents(for_tenant, of_user);
    if intra365.has_standing(for_tenant, of_user) then
      outcome := 'standing'; reached := after;
      return next;
      return;
    end if;
  end if;

  if by_index then
    chosen := format('(%s) in (select %s from intra365.%I t where %s and (%s) limit %s)', key, key, of_table, in_tenant, theirs, at_most);
  else
    chosen := case when after is null then 'true' else format('(%s) > (%s)', key, intra365.key_literals(of_table, after)) end;
    execute format('select to_jsonb(k) from (select %s from intra365.%I t where %s and %s order by %s offset %s limit 1) k',
        key, of_table, in_tenant, chosen, key, at_most - 1) into reached using for_tenant;
    if reached is not null then chosen := format('%s and (%s) <= (%s)', chosen, key, intra365.key_literals(of_table, reached)); end if;
  end if;
  -- Not even a consent that somebody makes active again at this moment is renamed.
  if of_table = 'consent_records' then chosen := chosen || ' and t.status not in (''active'', ''suspended'')'; end if;
  if of_table = 'audit_logs' then
    -- What the chain of the trail was made of, before it changes.
    select coalesce(max(r.sweep), 0) + 1 into sweep from intra365.audit_redactions r where r.tenant_id = for_tenant and r.erasure_id = of_erasure;
    execute format('select array_agg(row(0, t.tenant_id, t.at, t.entry_id, $6, $7, intra365.audit_digest(t), null)::intra365.audit_redactions)
                      from intra365.audit_logs t where %s and %s and (%s)', in_tenant, chosen, theirs)
      into before using for_tenant, of_user, subject, pattern, path, of_erasure, sweep;
  end if;

  if (select bool_or(c.on_erasure = 'delete') from intra365.personal_columns c where c.table_name = of_table) then
    begin
      execute format('delete from intra365.%I t where %s and %s and (%s)', of_table, in_tenant, chosen, theirs)
        using for_tenant, of_user, subject, pattern, path;
      get diagnostics touched = row_count;
    exception when foreign_key_violation then
      touched := 1;  -- what refers to it has come since; the next pass takes both
    end;
  else
    select string_agg(case
             when c.holds = 'user' then format('%1$I = case when t.%1$I = $2 then $6 else t.%1$I end', c.column_name)
             when c.holds = 'subject' then format('%1$I = case when t.%1$I = $3 then $7 else t.%1$I end', c.column_name)
             when c.holds = 'text' then format('%1$I = regexp_replace(t.%1$I, $4, ''\1'' || $6 || ''\2'', ''g'')', c.column_name)
             when c.holds = 'content' and c.on_erasure = 'clear' then format('%1$I = case when %3$s then %2$s else t.%1$I end', c.column_name, c.clear_to,
               (select string_agg(format('t.%I = $2', u.column_name), ' or ') from intra365.personal_columns u where u.table_name = c.table_name and u.holds = 'user'))
           end, ', ') into assignments
      from intra365.personal_columns c where c.table_name = of_table and c.on_erasure <> 'keep';
    execute format('update intra365.%I t set %s where %s and %s and (%s)', of_table, assignments, in_tenant, chosen, theirs)
      using for_tenant, of_user, subject, pattern, path, as_pseudonym, new_subject;
    get diagnostics touched = row_count;
  end if;

  if before is not null then
    insert into intra365.audit_redactions (tenant_id, at, entry_id, erasure_id, sweep, recorded, redacted)
      select for_tenant, a.at, a.entry_id, of_erasure, b.sweep, b.recorded, intra365.audit_digest(a)
        from unnest(before) b join intra365.audit_logs a on a.tenant_id = for_tenant and a.at = b.at and a.entry_id = b.entry_id;
    proof := intra365.redaction_digest(for_tenant, of_erasure, sweep);
    perform intra365.append_audit(jsonb_build_array(jsonb_build_object('tenant', for_tenant, 'entry', jsonb_build_object(
      'entryId', of_erasure || '-' || sweep, 'at', now(), 'source', 'platform', 'actor', 'service:privacy', 'action', 'privacy.redact',
      'resource', 'erasure:' || of_erasure || ':' || sweep || ':' || proof, 'outcome', 'allowed', 'scopes', jsonb_build_array()))));
  end if;
  outcome := case when (by_index and touched < at_most) or (not by_index and reached is null) then 'done' else 'more' end;
  return next;
end $$;
comment on function intra365.erase_rows is 'Replaces a person by a pseudonym in some rows of a table, or removes those that only concern them.';
revoke all on function intra365.erase_rows, intra365.claim_erasures, intra365.is_named from public;
grant execute on function intra365.erase_rows, intra365.claim_erasures, intra365.is_named to intra365_service;
