-- What the world is told of a change. An event is written into the log inside the transaction that makes it
-- true, so it exists if and only if that transaction commits; no table holds it, and change data capture carries
-- it on. Triggers tell, so that no path of the program can forget.

create function intra365.tell_event(for_tenant text, domain text, type text, data jsonb, trace text default null) returns void
  language plpgsql as $$
declare
  known_account text;
begin
  if intra365.current_tenant() is distinct from for_tenant and intra365.current_tenant() is not null then
    raise exception 'an event of another tenant' using errcode = 'insufficient_privilege';
  end if;
  select t.account into known_account from intra365.tenants t where t.tenant_id = for_tenant;
  if known_account is null then
    return;  -- nobody to tell
  end if;
  perform pg_logical_emit_message(true, 'intra365.event',
    jsonb_build_object('tenant', for_tenant, 'account', known_account, 'domain', domain, 'type', type,
                       'data', data, 'traceId', trace)::text);
end $$;
comment on function intra365.tell_event is 'Tells the tenant, once this transaction has committed: intra365.events.<domain>.<type>.';
