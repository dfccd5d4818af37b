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
