-- Policies have a life: draft, shadow (evaluated and recorded, not enforced), active, retired. Guardrails belong
-- to the organisation and stand above every priority.

alter table intra365.policies
  add column status      text not null default 'active' check (status in ('draft', 'shadow', 'active', 'retired')),
  add column scope       text not null default 'tenant' check (scope in ('tenant', 'organisation')),
  add column guardrail   boolean not null default false,
  add column description text;
update intra365.policies set status = 'retired' where not active;
alter table intra365.policies
  add constraint policies_active_is_a_status check (active = (status = 'active')),
  add constraint policies_guardrail_is_of_the_organisation check (not guardrail or scope = 'organisation');

-- What shadow policies would have answered, where that differs.
alter table intra365.policy_evaluations add column shadow jsonb;
create index policy_evaluations_by_shadow on intra365.policy_evaluations (tenant_id, evaluated_at) where shadow is not null;

-- Why a version was made; an earlier version can become the newest again.
alter table intra365.policy_versions add column reason text;
alter table intra365.policy_versions drop constraint policy_versions_change_check;
alter table intra365.policy_versions add constraint policy_versions_change_check
  check (change in ('created', 'updated', 'deleted', 'rolled_back'));

-- To who listens, a policy that came back has been updated.
create or replace function intra365.tell_policy_event() returns trigger language plpgsql as $$
begin
  perform intra365.tell_event(new.tenant_id, 'policy',
    case new.change when 'rolled_back' then 'updated' else new.change end,
    jsonb_build_object('policyId', new.policy_id, 'version', new.version,
      'policyEpoch', coalesce((select e.epoch from intra365.policy_epochs e where e.tenant_id = new.tenant_id), 0)));
  return null;
end $$;
