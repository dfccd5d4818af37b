-- The rules of each tenant, every version they ever had, and the answers they gave.

create table intra365.policies (
  tenant_id  text not null,
  policy_id  text not null check (policy_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  name       text not null,
  type       text not null,
  rules      jsonb not null,
  priority   bigint not null,
  active     boolean not null,
  version    bigint not null default 1,
  updated_at timestamptz not null default now(),
  updated_by text not null,
  primary key (tenant_id, policy_id)
);
select intra365.protect('policies');
comment on table intra365.policies is 'Policy definitions and rules that are in force.';

create table intra365.policy_versions (
  tenant_id  text not null,
  policy_id  text not null,
  version    bigint not null,
  change     text not null check (change in ('created', 'updated', 'deleted')),
  document   jsonb not null,
  changed_at timestamptz not null default now(),
  changed_by text not null,
  primary key (tenant_id, policy_id, version)
);
select intra365.protect('policy_versions');
revoke update, delete on intra365.policy_versions from intra365_service;
comment on table intra365.policy_versions is 'Version history of policies; rows are added, never changed.';

create table intra365.policy_epochs (
  tenant_id text primary key,
  epoch     bigint not null
);
select intra365.protect('policy_epochs');
comment on table intra365.policy_epochs is 'Counts the changes of a tenant''s policy set; enforcement points compare it.';

create table intra365.policy_evaluations (
  tenant_id    text not null,
  decision_id  text not null,
  evaluated_at timestamptz not null default now(),
  policy_epoch bigint not null,
  request      jsonb not null,
  reply        jsonb not null,
  primary key (tenant_id, decision_id)
);
create index policy_evaluations_by_time on intra365.policy_evaluations (tenant_id, evaluated_at);
select intra365.protect('policy_evaluations');
comment on table intra365.policy_evaluations is 'Policy evaluation results, replayable from the epoch and the request.';
