-- Every new version is an event, told at the end of the transaction, when the set's epoch is the new one.

create function intra365.tell_policy_event() returns trigger language plpgsql as $$
begin
  perform intra365.tell_event(new.tenant_id, 'policy', new.change,
    jsonb_build_object('policyId', new.policy_id, 'version', new.version,
      'policyEpoch', coalesce((select e.epoch from intra365.policy_epochs e where e.tenant_id = new.tenant_id), 0)));
  return null;
end $$;
create constraint trigger policy_event after insert on intra365.policy_versions
  deferrable initially deferred for each row execute function intra365.tell_policy_event();
