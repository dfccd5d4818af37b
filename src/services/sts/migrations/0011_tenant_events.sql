create function intra365.tell_tenant_event() returns trigger language plpgsql as $$
begin
  perform intra365.tell_event(new.tenant_id, 'system', 'tenant-created', '{}');
  return null;
end $$;
create trigger tenant_event after insert on intra365.tenants
  for each row execute function intra365.tell_tenant_event();
