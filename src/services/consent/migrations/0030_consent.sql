-- What people allow, and everything that ever changed about it.

create table intra365.consent_purposes (
  tenant_id   text not null,
  purpose     text not null,
  description text not null default '',
  primary key (tenant_id, purpose)
);
select intra365.protect('consent_purposes');
comment on table intra365.consent_purposes is 'Defined purposes for data usage.';

create table intra365.consent_scopes (
  tenant_id   text not null,
  scope       text not null,
  description text not null default '',
  primary key (tenant_id, scope)
);
select intra365.protect('consent_scopes');
comment on table intra365.consent_scopes is 'Available permission scopes.';

-- Two counters, each bumped in the transaction of every change: by the user's, a reader knows how new an
-- answer is; by the Mate's, its enforcement points notice a change they missed. The row lock keeps both in
-- the order of the commits.
create table intra365.consent_epochs (
  tenant_id  text not null,
  kind       text not null check (kind in ('user', 'mate')),
  id         text not null,
  epoch      bigint not null,
  primary key (tenant_id, kind, id)
);
select intra365.protect('consent_epochs');
comment on table intra365.consent_epochs is 'Consent epochs of users and Mates.';

create table intra365.consent_records (
  tenant_id  text not null,
  consent_id text not null,
  user_id    text not null,
  mate_id    text not null,
  purposes   text[] not null check (cardinality(purposes) between 1 and 50),
  scopes     text[] not null check (cardinality(scopes) between 1 and 50),
  granted    boolean not null,
  granted_at timestamptz not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  metadata   jsonb not null default 'null',
  epoch      bigint not null,
  mate_epoch bigint not null,
  expiry_told boolean not null default false,
  primary key (tenant_id, consent_id)
);
create index consent_records_by_pair on intra365.consent_records (tenant_id, user_id, mate_id);
create unique index consent_records_by_mate_epoch on intra365.consent_records (tenant_id, mate_id, mate_epoch);
create index consent_records_to_expire on intra365.consent_records (expires_at) where granted and not expiry_told;
select intra365.protect('consent_records');
comment on table intra365.consent_records is 'User consent grants and revocations, as they stand now.';

create table intra365.consent_history (
  sequence    bigint generated always as identity primary key,
  tenant_id   text not null,
  consent_id  text not null,
  user_id     text not null,
  mate_id     text not null,
  event       text not null check (event in ('granted', 'revoked', 'expired', 'superseded')),
  actor       text not null,
  purposes    text[] not null,
  scopes      text[] not null,
  expires_at  timestamptz,
  epoch       bigint not null,
  recorded_at timestamptz not null default now(),
  trace_id    text,
  foreign key (tenant_id, consent_id) references intra365.consent_records
);
create index consent_history_by_user on intra365.consent_history (tenant_id, user_id, sequence);
create index consent_history_by_consent on intra365.consent_history (tenant_id, consent_id, sequence);
select intra365.protect('consent_history');
revoke update, delete on intra365.consent_history from intra365_service;
comment on table intra365.consent_history is 'Complete audit trail of all consent changes; rows are added, never changed.';

create function intra365.bump_consent_epoch(for_tenant text, of_kind text, of_id text) returns bigint
  language sql
  as $$ insert into intra365.consent_epochs values (for_tenant, of_kind, of_id, 1)
        on conflict (tenant_id, kind, id) do update set epoch = intra365.consent_epochs.epoch + 1
        returning epoch $$;

-- A grant is one statement, so that row, history and both epochs are one transaction in one round trip.
create function intra365.grant_consent(for_tenant text, new_id text, of_user text, to_mate text, for_purposes text[], with_scopes text[],
                                       until_at timestamptz, with_metadata jsonb, by_actor text, in_trace text)
  returns setof intra365.consent_records language plpgsql as $$
declare user_epoch bigint; new_mate_epoch bigint; granted_record intra365.consent_records;
begin
  user_epoch := intra365.bump_consent_epoch(for_tenant, 'user', of_user);
  new_mate_epoch := intra365.bump_consent_epoch(for_tenant, 'mate', to_mate);
  insert into intra365.consent_records (tenant_id, consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at, metadata, epoch, mate_epoch)
    values (for_tenant, new_id, of_user, to_mate, for_purposes, with_scopes, true, now(), until_at, with_metadata, user_epoch, new_mate_epoch)
    returning * into granted_record;
  insert into intra365.consent_history (tenant_id, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at, epoch, trace_id)
    values (for_tenant, new_id, of_user, to_mate, 'granted', by_actor, for_purposes, with_scopes, until_at, user_epoch, in_trace);
  return next granted_record;
end $$;

-- Revokes by id, or everything of a user for a Mate; only what still holds is touched, each record with
-- epochs of its own.
create function intra365.revoke_consent(for_tenant text, by_id text, of_user text, to_mate text, by_actor text, in_trace text)
  returns setof intra365.consent_records language plpgsql as $$
declare held intra365.consent_records; user_epoch bigint; new_mate_epoch bigint;
begin
  for held in
    select * from intra365.consent_records r
     where r.tenant_id = for_tenant and r.granted and r.user_id = of_user
       and (by_id is null or r.consent_id = by_id) and (to_mate is null or r.mate_id = to_mate)
     order by r.consent_id for update
  loop
    user_epoch := intra365.bump_consent_epoch(for_tenant, 'user', held.user_id);
    new_mate_epoch := intra365.bump_consent_epoch(for_tenant, 'mate', held.mate_id);
    update intra365.consent_records r set granted = false, revoked_at = now(), epoch = user_epoch, mate_epoch = new_mate_epoch
     where r.tenant_id = for_tenant and r.consent_id = held.consent_id returning * into held;
    insert into intra365.consent_history (tenant_id, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at, epoch, trace_id)
      values (for_tenant, held.consent_id, held.user_id, held.mate_id, 'revoked', by_actor, held.purposes, held.scopes, held.expires_at, user_epoch, in_trace);
    return next held;
  end loop;
end $$;

-- Expiry is decided by the clock at every decision; this only tells the world, once, that it has happened.
create function intra365.tell_expired_consents(at_most int)
  returns table (tenant_id text, consent_id text, user_id text, mate_id text, epoch bigint)
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare gone intra365.consent_records;
begin
  for gone in
    select * from intra365.consent_records r where r.granted and not r.expiry_told and r.expires_at <= now()
     order by r.expires_at limit at_most for update skip locked
  loop
    update intra365.consent_records r set expiry_told = true where r.tenant_id = gone.tenant_id and r.consent_id = gone.consent_id;
    insert into intra365.consent_history (tenant_id, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at, epoch)
      values (gone.tenant_id, gone.consent_id, gone.user_id, gone.mate_id, 'expired', 'system', gone.purposes, gone.scopes, gone.expires_at, gone.epoch);
    return query select gone.tenant_id, gone.consent_id, gone.user_id, gone.mate_id, gone.epoch;
  end loop;
end $$;
revoke all on function intra365.tell_expired_consents(int) from public;
grant execute on function intra365.tell_expired_consents(int) to intra365_service;
