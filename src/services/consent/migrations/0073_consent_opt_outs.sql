-- Purposes that the law lets people opt out of, and who has. The opt-out itself is an objection, and stands in the history;
-- this says that it was made, so that a signal which comes with every request is one objection, and what a person allows
-- afterwards stays allowed.

alter table intra365.consent_purposes add column opt_out boolean not null default false;
comment on column intra365.consent_purposes.opt_out is 'The law lets people opt out of it: their data are sold or shared.';

create table intra365.consent_opt_outs (
  tenant_id  text not null,
  user_id    text not null,
  purposes   text[] not null check (cardinality(purposes) between 1 and 2000),
  method     text not null check (method in ('request', 'gpc', 'device')),
  since      timestamptz not null default now(),
  changed_at timestamptz not null default now(),
  primary key (user_id, tenant_id)
);
select intra365.protect('consent_opt_outs');
comment on table intra365.consent_opt_outs is 'Who has opted out, of what, and how they first said so.';

insert into intra365.personal_columns values ('consent_opt_outs', 'user_id', 'user', 'delete', 'null');
