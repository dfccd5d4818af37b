-- Every line of the history is an event.

create function intra365.tell_consent_event() returns trigger language plpgsql as $$
begin
  perform intra365.tell_event(new.tenant_id, 'consent', new.event,
    jsonb_build_object('consentId', new.consent_id, 'userId', new.user_id, 'mateId', new.mate_id, 'epoch', new.epoch),
    new.trace_id);
  return null;
end $$;
create trigger consent_event after insert on intra365.consent_history
  for each row execute function intra365.tell_consent_event();
