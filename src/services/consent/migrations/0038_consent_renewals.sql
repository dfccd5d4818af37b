-- What happens around the end of a consent: the person is asked to renew it, reminded, and it is renewed or lapses. Each
-- step is taken once, however many instances are told that it is due.

alter table intra365.consent_settings add column reminders int[]
  check (cardinality(reminders) <= 8 and 1 <= all(reminders) and 7776000 >= all(reminders));
comment on column intra365.consent_settings.reminders is 'Seconds before the end at which the person is reminded; null: the platform''s own.';

-- One row for each end of a consent that anything happened around. Whose it is stands in the record.
create table intra365.consent_renewals (
  tenant_id   text not null,
  consent_id  text not null,
  expires_at  timestamptz not null,
  asked_at    timestamptz,
  asked_by    text,
  reminded    int[] not null default '{}',
  reminded_at timestamptz,
  renewed_at  timestamptz,
  lapsed_at   timestamptz,
  primary key (tenant_id, consent_id, expires_at),
  foreign key (tenant_id, consent_id) references intra365.consent_records on delete cascade
);
select intra365.protect('consent_renewals');
comment on table intra365.consent_renewals is 'Ends of consents: asked, reminded, renewed, lapsed.';

create function intra365.consent_event_data(r intra365.consent_records) returns jsonb language sql immutable as $$
  select jsonb_build_object('consentId', r.consent_id, 'userId', r.user_id, 'mateId', r.mate_id, 'epoch', r.epoch,
    'expiresAt', to_char(r.expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
$$;

-- A new end closes what was open around the one before.
create function intra365.note_consent_renewal() returns trigger language plpgsql as $$
begin
  update intra365.consent_renewals n set renewed_at = clock_timestamp()
   where n.tenant_id = new.tenant_id and n.consent_id = new.consent_id and n.expires_at = old.expires_at and n.renewed_at is null;
  return null;
end $$;
create trigger consent_renewal after update of expires_at on intra365.consent_records
  for each row when (old.expires_at is not null and new.granted and coalesce(new.expires_at, 'infinity') > old.expires_at)
  execute function intra365.note_consent_renewal();

-- `told` when this call has taken the step, `done` when another has, `early` when it is not time yet, `void` when there is
-- nothing to do any more.
create function intra365.remind_consent(for_tenant text, of_consent text, ending timestamptz, seconds_before int) returns text
  language plpgsql as $$
declare held intra365.consent_records;
begin
  select * into held from intra365.consent_records r where r.tenant_id = for_tenant and r.consent_id = of_consent for update;
  if not found or not held.granted or held.expires_at is distinct from ending or ending <= clock_timestamp() then return 'void'; end if;
  if ending - make_interval(secs => seconds_before) > clock_timestamp() then return 'early'; end if;
  insert into intra365.consent_renewals as n (tenant_id, consent_id, expires_at, reminded, reminded_at)
    values (for_tenant, of_consent, ending, array[seconds_before], clock_timestamp())
    on conflict (tenant_id, consent_id, expires_at) do update set reminded = n.reminded || seconds_before, reminded_at = clock_timestamp()
      where not seconds_before = any(n.reminded);
  if not found then return 'done'; end if;
  perform intra365.tell_event(for_tenant, 'consent', 'expiring',
    intra365.consent_event_data(held) || jsonb_build_object('secondsBefore', seconds_before));
  return 'told';
end $$;

create function intra365.expire_consent(for_tenant text, of_consent text, ending timestamptz) returns text language plpgsql as $$
declare held intra365.consent_records;
begin
  select * into held from intra365.consent_records r where r.tenant_id = for_tenant and r.consent_id = of_consent for update;
  if not found or not held.granted or held.expires_at is distinct from ending then return 'void'; end if;
  if held.expiry_told then return 'done'; end if;
  if ending > clock_timestamp() then return 'early'; end if;
  update intra365.consent_records r set expiry_told = true where r.tenant_id = for_tenant and r.consent_id = of_consent;
  insert into intra365.consent_history (tenant_id, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at, epoch, valid_from, revision)
    values (held.tenant_id, held.consent_id, held.user_id, held.mate_id, 'expired', 'system', held.purposes, held.scopes, held.expires_at, held.epoch, held.expires_at, held.revision);
  insert into intra365.consent_renewals as n (tenant_id, consent_id, expires_at, lapsed_at)
    values (for_tenant, of_consent, ending, clock_timestamp())
    on conflict (tenant_id, consent_id, expires_at) do update set lapsed_at = clock_timestamp();
  return 'told';
end $$;

-- The Mate asks the person to let it go on; once for each end. Null when there is nothing that could be renewed.
create function intra365.ask_consent_renewal(for_tenant text, of_consent text, by_actor text, in_trace text)
  returns setof intra365.consent_renewals language plpgsql as $$
declare held intra365.consent_records; asked intra365.consent_renewals;
begin
  select * into held from intra365.consent_records r where r.tenant_id = for_tenant and r.consent_id = of_consent for update;
  if not found or not held.granted or held.expires_at is null then return; end if;
  insert into intra365.consent_renewals as n (tenant_id, consent_id, expires_at, asked_at, asked_by)
    values (for_tenant, of_consent, held.expires_at, clock_timestamp(), by_actor)
    on conflict (tenant_id, consent_id, expires_at) do update set asked_at = clock_timestamp(), asked_by = by_actor where n.asked_at is null
    returning * into asked;
  if found then
    perform intra365.tell_event(for_tenant, 'consent', 'renewal_asked',
      intra365.consent_event_data(held) || jsonb_build_object('askedBy', by_actor), in_trace);
  end if;
  return query select * from intra365.consent_renewals n
    where n.tenant_id = for_tenant and n.consent_id = of_consent and n.expires_at = held.expires_at;
end $$;

-- The steps that are due between two times, of all tenants, in their order; 0 seconds before is the end itself.
create function intra365.consent_timers(since timestamptz, until timestamptz, defaults int[], after_due timestamptz, after_consent text, at_most int)
  returns table (tenant_id text, consent_id text, expires_at timestamptz, seconds_before int, due_at timestamptz)
  language sql stable security definer set search_path = pg_catalog, intra365 as $$
  select t.* from (
    select r.tenant_id, r.consent_id, r.expires_at, 0 as seconds_before, r.expires_at as due_at
      from intra365.consent_records r
     where r.granted and not r.expiry_told and r.expires_at <= until
    union all
    select r.tenant_id, r.consent_id, r.expires_at, b, r.expires_at - make_interval(secs => b)
      from (select distinct unnest(defaults || coalesce((select array_agg(x) from intra365.consent_settings s, unnest(s.reminders) x), '{}')) as b) every
      join intra365.consent_records r on r.granted and not r.expiry_told
       and r.expires_at > since + make_interval(secs => b) and r.expires_at <= until + make_interval(secs => b) and r.expires_at > now()
      left join intra365.consent_settings s on s.tenant_id = r.tenant_id
     where b = any(coalesce(s.reminders, defaults)) and r.granted_at <= r.expires_at - make_interval(secs => b)
       and not exists (select 1 from intra365.consent_renewals n
         where n.tenant_id = r.tenant_id and n.consent_id = r.consent_id and n.expires_at = r.expires_at and b = any(n.reminded))
  ) t where (t.due_at, t.consent_id) > (after_due, after_consent) order by t.due_at, t.consent_id limit at_most
$$;
revoke all on function intra365.consent_timers(timestamptz, timestamptz, int[], timestamptz, text, int) from public;
grant execute on function intra365.consent_timers(timestamptz, timestamptz, int[], timestamptz, text, int) to intra365_service;

-- What no timer has told in time is told all the same.
create or replace function intra365.tell_expired_consents(at_most int)
  returns table (tenant_id text, consent_id text, user_id text, mate_id text, epoch bigint)
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare gone intra365.consent_records;
begin
  for gone in
    select * from intra365.consent_records r where r.granted and not r.expiry_told and r.expires_at <= now() - interval '5 seconds'
     order by r.expires_at limit at_most for update skip locked
  loop
    if intra365.expire_consent(gone.tenant_id, gone.consent_id, gone.expires_at) = 'told' then
      return query select gone.tenant_id, gone.consent_id, gone.user_id, gone.mate_id, gone.epoch;
    end if;
  end loop;
end $$;
