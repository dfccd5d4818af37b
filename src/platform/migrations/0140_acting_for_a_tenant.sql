-- Functions that work as their owner and are told for which tenants: a service that acts for one tenant may name no other
-- one, as row-level security has it for everything else. Who acts for the platform names no tenant in its transaction.

create function intra365.check_tenants(tenants text[]) returns void language plpgsql stable set search_path = pg_catalog as $$
begin
  if intra365.current_tenant() is not null and exists (select from unnest(tenants) t where t is distinct from intra365.current_tenant()) then
    raise exception 'acting for another tenant' using errcode = 'insufficient_privilege';
  end if;
end $$;
comment on function intra365.check_tenants is 'Refuses tenants other than the one of this transaction; where there is none, every one is allowed.';

-- The check becomes the first thing that each does; nothing else of them changes.
do $$
declare one record;
begin
  for one in
    select * from (values
      ('intra365.add_revocation(text, text, text, timestamptz, text)', '\mbegin\M', 'begin perform intra365.check_tenants(array[for_tenant]);'),
      ('intra365.confirm_consents(text[], text[], text[], bigint[])', '\mbegin\M', 'begin perform intra365.check_tenants(tenants);'),
      ('intra365.append_audit(text[], text[], timestamptz[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], text[], bigint[], bigint[])',
       '\mbegin\M', 'begin perform intra365.check_tenants(tenants);'),
      ('intra365.told_consents(text[], text[], bigint[])', '\mwith told as\M', 'select intra365.check_tenants(tenants); with told as')
    ) as v(signature, first_word, with_check)
  loop
    execute regexp_replace(pg_get_functiondef(one.signature::regprocedure), one.first_word, one.with_check);
  end loop;
end $$;

-- Who may work for every tenant, and on what.
comment on function intra365.find_api_key is 'For every tenant: the one key of a login, whose tenant is not known yet.';
comment on function intra365.find_refresh_token is 'For every tenant: the one refresh token of a login, whose tenant is not known yet.';
comment on function intra365.revocations_since is 'For every tenant: what is dead, for enforcement points of the platform.';
comment on function intra365.revocation_epoch is 'For every tenant: the newest epoch of revocations.';
comment on function intra365.tell_expired_consents is 'For every tenant: tells of consents that have ended, each once.';
comment on function intra365.consent_timers is 'For every tenant: which steps around the ends of consents are due.';
comment on function intra365.forget_consent_propagation is 'For every tenant: removes notes of changes that everybody knows by now.';
comment on function intra365.tenants_with_consents is 'For every tenant: names of tenants only.';
comment on function intra365.claim_erasures is 'For every tenant: takes erasures that are due; their persons are sealed.';
comment on function intra365.claim_sealing is 'For every tenant: names of tenants whose values are to be looked through.';
comment on function intra365.partition_step is 'For every tenant: makes partitions ahead, retires old ones, indexes closed ones: the next step, and what it was.';
comment on function intra365.maintain_partitions is 'For every tenant: one partition_step, for services of an earlier version.';
comment on function intra365.refresh_reports is 'For every tenant: brings aggregates and reports up to date; one caller at a time works, the others go at once.';
