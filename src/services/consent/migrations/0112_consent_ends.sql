-- Whatever may hold ends with an event: also what is suspended, and what hangs on a consent that ends before it. And people
-- hear what happens to their own consents.

-- Tells one person of a tenant, as tell_event tells whoever runs it: intra365.user.<person>.<domain>.<type>.
create function intra365.tell_person(for_tenant text, person text, domain text, type text, data jsonb, trace text default null) returns void
  language plpgsql as $$
declare known_account text;
begin
  if intra365.current_tenant() is distinct from for_tenant and intra365.current_tenant() is not null then
    raise exception 'an event of another tenant' using errcode = 'insufficient_privilege';
  end if;
  -- A group is nobody who could listen.
  if position(':' in person) > 0 then return; end if;
  select t.account into known_account from intra365.tenants t where t.tenant_id = for_tenant;
  if known_account is null then return; end if;
  perform pg_logical_emit_message(true, 'intra365.event',
    jsonb_build_object('tenant', for_tenant, 'account', known_account, 'person', person, 'domain', domain, 'type', type,
                       'data', data, 'traceId', trace)::text);
end $$;
comment on function intra365.tell_person is 'Tells a person, once this transaction has committed: intra365.user.<person>.<domain>.<type>.';

create or replace function intra365.tell_consent_events() returns trigger language plpgsql as $$
begin
  if intra365.current_tenant() is not null and exists (select from added h where h.tenant_id <> intra365.current_tenant()) then
    raise exception 'an event of another tenant' using errcode = 'insufficient_privilege';
  end if;
  perform pg_logical_emit_message(true, 'intra365.event',
      (jsonb_build_object('tenant', h.tenant_id, 'account', t.account, 'domain', 'consent', 'type', h.event,
        'data', jsonb_build_object('consentId', h.consent_id, 'userId', h.user_id, 'mateId', h.mate_id, 'epoch', h.epoch),
        'traceId', h.trace_id) || audience.who)::text)
    from (select * from added order by sequence) h join intra365.tenants t using (tenant_id)
    cross join lateral (select '{}'::jsonb as who union all
                        select jsonb_build_object('person', h.user_id) where position(':' in h.user_id) = 0) audience;
  return null;
end $$;

drop index intra365.consent_records_to_expire;
create index if not exists consent_records_to_end on intra365.consent_records (expires_at) where status in ('active', 'suspended') and not expiry_told;

-- zero-downtime: drop: made again below, in the same transaction and under the same name
drop trigger consent_renewal on intra365.consent_records;
create trigger consent_renewal after update of expires_at on intra365.consent_records
  for each row when (old.expires_at is not null and new.status in ('active', 'suspended') and coalesce(new.expires_at, 'infinity') > old.expires_at)
  execute function intra365.note_consent_renewal();

create or replace function intra365.remind_consent(for_tenant text, of_consent text, ending timestamptz, seconds_before int) returns text
  language plpgsql as $$
declare held intra365.consent_records; told jsonb;
begin
  select * into held from intra365.consent_records r where r.tenant_id = for_tenant and r.consent_id = of_consent for update;
  if not found or held.status not in ('active', 'suspended') or held.expires_at is distinct from ending or ending <= clock_timestamp() then
    return 'void';
  end if;
  if ending - make_interval(secs => seconds_before) > clock_timestamp() then return 'early'; end if;
  insert into intra365.consent_renewals as n (tenant_id, consent_id, expires_at, reminded, reminded_at)
    values (for_tenant, of_consent, ending, array[seconds_before], clock_timestamp())
    on conflict (tenant_id, consent_id, expires_at) do update set reminded = n.reminded || seconds_before, reminded_at = clock_timestamp()
      where not seconds_before = any(n.reminded);
  if not found then return 'done'; end if;
  told := intra365.consent_event_data(held) || jsonb_build_object('secondsBefore', seconds_before);
  perform intra365.tell_event(for_tenant, 'consent', 'expiring', told);
  perform intra365.tell_person(for_tenant, held.user_id, 'consent', 'expiring', told);
  return 'told';
end $$;

-- What would have ended later by itself ends with what it hangs on.
create or replace function intra365.expire_consent(for_tenant text, of_consent text, ending timestamptz) returns text language plpgsql as $$
declare held intra365.consent_records; gone intra365.consent_records;
begin
  perform intra365.hold_consent_trees(for_tenant, array[of_consent]);
  select * into held from intra365.consent_records r where r.tenant_id = for_tenant and r.consent_id = of_consent for update;
  if not found or held.status not in ('active', 'suspended') or held.expires_at is distinct from ending then return 'void'; end if;
  if held.expiry_told then return 'done'; end if;
  if ending > clock_timestamp() then return 'early'; end if;
  for gone in
    update intra365.consent_records r set expiry_told = true
     where r.tenant_id = for_tenant and not r.expiry_told
       and (r.consent_id = of_consent
            or (r.consent_id = any(array(select intra365.consents_below(for_tenant, array[of_consent]))) and coalesce(r.expires_at, 'infinity') > ending))
    returning r.*
  loop
    insert into intra365.consent_history (tenant_id, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at, epoch, valid_from, revision)
      values (gone.tenant_id, gone.consent_id, gone.user_id, gone.mate_id, 'expired', 'system', gone.purposes, gone.scopes, gone.expires_at, gone.epoch, ending, gone.revision);
  end loop;
  insert into intra365.consent_renewals as n (tenant_id, consent_id, expires_at, lapsed_at)
    values (for_tenant, of_consent, ending, clock_timestamp())
    on conflict (tenant_id, consent_id, expires_at) do update set lapsed_at = clock_timestamp();
  return 'told';
end $$;

create or replace function intra365.ask_consent_renewal(for_tenant text, of_consent text, by_actor text, in_trace text)
  returns setof intra365.consent_renewals language plpgsql as $$
declare held intra365.consent_records; asked intra365.consent_renewals; told jsonb;
begin
  select * into held from intra365.consent_records r where r.tenant_id = for_tenant and r.consent_id = of_consent for update;
  if not found or not held.granted or held.expires_at is null then return; end if;
  insert into intra365.consent_renewals as n (tenant_id, consent_id, expires_at, asked_at, asked_by)
    values (for_tenant, of_consent, held.expires_at, clock_timestamp(), by_actor)
    on conflict (tenant_id, consent_id, expires_at) do update set asked_at = clock_timestamp(), asked_by = by_actor where n.asked_at is null
    returning * into asked;
  if found then
    told := intra365.consent_event_data(held) || jsonb_build_object('askedBy', by_actor);
    perform intra365.tell_event(for_tenant, 'consent', 'renewal_asked', told, in_trace);
    perform intra365.tell_person(for_tenant, held.user_id, 'consent', 'renewal_asked', told, in_trace);
  end if;
  return query select * from intra365.consent_renewals n
    where n.tenant_id = for_tenant and n.consent_id = of_consent and n.expires_at = held.expires_at;
end $$;

create or replace function intra365.consent_timers(since timestamptz, until timestamptz, defaults int[], after_due timestamptz, after_consent text, at_most int)
  returns table (tenant_id text, consent_id text, expires_at timestamptz, seconds_before int, due_at timestamptz)
  language sql stable security definer set search_path = pg_catalog, intra365 as $$
  select t.* from (
    select r.tenant_id, r.consent_id, r.expires_at, 0 as seconds_before, r.expires_at as due_at
      from intra365.consent_records r
     where r.status in ('active', 'suspended') and not r.expiry_told and r.expires_at <= until
    union all
    select r.tenant_id, r.consent_id, r.expires_at, b, r.expires_at - make_interval(secs => b)
      from (select distinct unnest(defaults || coalesce((select array_agg(x) from intra365.consent_settings s, unnest(s.reminders) x), '{}')) as b) every
      join intra365.consent_records r on r.status in ('active', 'suspended') and not r.expiry_told
       and r.expires_at > since + make_interval(secs => b) and r.expires_at <= until + make_interval(secs => b) and r.expires_at > now()
      left join intra365.consent_settings s on s.tenant_id = r.tenant_id
     where b = any(coalesce(s.reminders, defaults)) and r.granted_at <= r.expires_at - make_interval(secs => b)
       and not exists (select 1 from intra365.consent_renewals n
         where n.tenant_id = r.tenant_id and n.consent_id = r.consent_id and n.expires_at = r.expires_at and b = any(n.reminded))
  ) t where (t.due_at, t.consent_id) > (after_due, after_consent) order by t.due_at, t.consent_id limit at_most
$$;

-- What is just being changed is left for the next time: many trees at once would be held in another order than everybody's.
create or replace function intra365.tell_expired_consents(at_most int)
  returns table (tenant_id text, consent_id text, user_id text, mate_id text, epoch bigint)
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare gone intra365.consent_records;
begin
  for gone in
    select * from intra365.consent_records r
     where r.status in ('active', 'suspended') and not r.expiry_told and r.expires_at <= now() - interval '5 seconds'
     order by r.expires_at limit at_most
  loop
    perform from intra365.consent_records k
     where k.tenant_id = gone.tenant_id and k.consent_id = any(array(select intra365.consent_roots(gone.tenant_id, array[gone.consent_id])))
       for no key update skip locked;
    continue when not found;
    if intra365.expire_consent(gone.tenant_id, gone.consent_id, gone.expires_at) = 'told' then
      return query select gone.tenant_id, gone.consent_id, gone.user_id, gone.mate_id, gone.epoch;
    end if;
  end loop;
end $$;
