-- Which times before ends anybody is reminded at, so that a service knows which changes to plan for at once.
create function intra365.consent_reminders_in_use(at_most int) returns setof int
  language sql stable security definer set search_path = pg_catalog, intra365 as $$
  select distinct x from intra365.consent_settings s, unnest(s.reminders) x limit at_most
$$;
revoke all on function intra365.consent_reminders_in_use(int) from public;
grant execute on function intra365.consent_reminders_in_use(int) to intra365_service;
comment on function intra365.consent_reminders_in_use is 'For every tenant: the times before ends that anybody is reminded at.';
