-- Whether everything that a delegated consent hangs on holds now; the rest of it is the record's own.
create function intra365.consents_above_hold(for_tenant text, parent text) returns boolean
  language sql stable as $$
  with recursive up as (
    select k.parent_id, k.granted, k.expires_at from intra365.consent_records k where k.tenant_id = for_tenant and k.consent_id = parent
    union all
    select k.parent_id, k.granted, k.expires_at from up join intra365.consent_records k on k.tenant_id = for_tenant and k.consent_id = up.parent_id)
  select coalesce(bool_and(granted and coalesce(expires_at > now(), true)), true) from up
$$;
