-- Registering, changing and leaving are events; a heartbeat is none. Told at the end of the transaction, when
-- the capabilities are there.

create function intra365.tell_mate_event() returns trigger language plpgsql as $$
declare
  mate intra365.mates := case when tg_op = 'DELETE' then old else new end;
begin
  if tg_op = 'UPDATE' and new.revision = old.revision then
    return null;
  end if;
  perform intra365.tell_event(mate.tenant_id, 'mate',
    case tg_op when 'INSERT' then 'registered' when 'UPDATE' then 'updated' else 'deregistered' end,
    jsonb_build_object('mateId', mate.mate_id, 'revision', mate.revision + case tg_op when 'DELETE' then 1 else 0 end,
      'capabilities', coalesce((select jsonb_agg(c.capability order by c.capability) from intra365.mate_capabilities c
                                 where c.tenant_id = mate.tenant_id and c.mate_id = mate.mate_id), '[]')));
  return null;
end $$;
create constraint trigger mate_event after insert or update or delete on intra365.mates
  deferrable initially deferred for each row execute function intra365.tell_mate_event();
