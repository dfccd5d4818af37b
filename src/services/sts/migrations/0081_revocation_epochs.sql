-- Revocations count in lines as well (0080).

create or replace function intra365.add_revocation(for_tenant text, of_jti text, of_subject text, until_at timestamptz, by_actor text)
  returns table (epoch bigint, previous_epoch bigint, previous_tenant_epoch bigint, revoked_at timestamptz)
  language plpgsql security definer set search_path = pg_catalog, intra365
  as $$
declare last_epoch bigint; last_tenant_epoch bigint; at_time timestamptz; base bigint := intra365.epoch_base();
begin
  perform pg_advisory_xact_lock(3650001);
  select greatest(max(r.epoch), base), greatest(max(r.epoch) filter (where r.tenant_id = for_tenant), base)
    into last_epoch, last_tenant_epoch from intra365.token_revocations r;
  at_time := clock_timestamp();
  insert into intra365.token_revocations values (last_epoch + 1, for_tenant, of_jti, of_subject, at_time, until_at, by_actor);
  return query select last_epoch + 1, last_epoch, last_tenant_epoch, at_time;
end $$;

create or replace function intra365.revocation_epoch() returns bigint
  language sql stable security definer set search_path = pg_catalog, intra365
  as $$ select greatest(max(epoch), intra365.epoch_base()) from intra365.token_revocations $$;
comment on table intra365.token_revocations is 'Tokens and subjects that are dead. The epoch has no gaps on one timeline of the database: enforcement points count by it.';
