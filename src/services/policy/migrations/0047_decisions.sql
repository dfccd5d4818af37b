-- Decisions can be made again: what was known is kept with them, and which policies were in force at an epoch.

alter table intra365.policy_evaluations
  add column attributes jsonb not null default '{}',
  add column count bigint not null default 1 check (count > 0);
comment on column intra365.policy_evaluations.count is
  'Alike decisions of one moment share a row; their ids are the row''s with .2, .3 … behind it.';

-- The epoch that this version made; 0 for versions from before it was kept.
alter table intra365.policy_versions add column policy_epoch bigint not null default 0;
create index policy_versions_by_epoch on intra365.policy_versions (tenant_id, policy_id, policy_epoch, version desc);
