-- Whoever has to see to a request hears that it is due soon, and that it is overdue: each once, however many instances look.

alter table intra365.privacy_requests
  add column due_told_at timestamptz,
  add column overdue_told_at timestamptz;
comment on column intra365.privacy_requests.due_told_at is 'When it was told that the request is due soon, or that it is overdue already.';
comment on column intra365.privacy_requests.overdue_told_at is 'When it was told that the request is overdue.';
-- zero-downtime: index: of requests that wait only, which people make one by one
create index privacy_requests_to_tell on intra365.privacy_requests (due_at) where state in ('open', 'working') and overdue_told_at is null;

-- Tells of requests that are due within so many seconds or were; returns of how many. Nobody is named: who may see the
-- request looks it up.
create function intra365.tell_due_requests(soon_seconds int, at_most int) returns int
  language plpgsql security definer set search_path = pg_catalog, intra365 as $$
declare one record; told int := 0;
begin
  for one in
    select r.tenant_id, r.request_id, r.kind, r.due_at, r.due_at <= now() as overdue from intra365.privacy_requests r
     where r.state in ('open', 'working') and r.overdue_told_at is null and r.due_at <= now() + make_interval(secs => soon_seconds)
       and (r.due_told_at is null or r.due_at <= now())
     order by r.due_at limit at_most for update skip locked
  loop
    update intra365.privacy_requests r
       set due_told_at = coalesce(r.due_told_at, now()), overdue_told_at = case when one.overdue then now() end
     where r.tenant_id = one.tenant_id and r.request_id = one.request_id;
    perform intra365.tell_event(one.tenant_id, 'privacy', case when one.overdue then 'request_overdue' else 'request_due' end,
      jsonb_build_object('requestId', one.request_id, 'kind', one.kind, 'dueAt', one.due_at));
    told := told + 1;
  end loop;
  return told;
end $$;
comment on function intra365.tell_due_requests is 'For every tenant: tells of requests that are due soon or overdue, each once.';

create function intra365.overdue_requests(at_most int) returns bigint
  language sql stable security definer set search_path = pg_catalog, intra365 as $$
  select count(*) from (select from intra365.privacy_requests r where r.state in ('open', 'working') and r.due_at < now() limit at_most) overdue
$$;
comment on function intra365.overdue_requests is 'For every tenant: how many requests are overdue, and no more about them.';

revoke all on function intra365.tell_due_requests, intra365.overdue_requests from public;
grant execute on function intra365.tell_due_requests, intra365.overdue_requests to intra365_service;
