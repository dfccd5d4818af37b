-- Entries that the database refused: kept by tenant, legible, and until they are brought into the trail or their time is
-- over. Messages that nobody could read name no tenant; they stay among the system's events.

create table intra365.audit_set_aside (
  tenant_id    text not null,
  set_aside_id text not null,
  at           timestamptz not null default now(),
  tried_at     timestamptz not null default now(),
  reason       text not null,
  user_id      text,
  entry        text not null,
  primary key (tenant_id, set_aside_id, at)
) partition by range (at);
create table intra365.audit_set_aside_default partition of intra365.audit_set_aside default;
select intra365.protect('audit_set_aside');
select intra365.protect('audit_set_aside_default');
revoke all on intra365.audit_set_aside_default from intra365_service;
revoke update on intra365.audit_set_aside from intra365_service;
grant update (tried_at, reason) on intra365.audit_set_aside to intra365_service;
comment on table intra365.audit_set_aside is 'Audit entries that the database refused, with why; they are not in the trail.';
comment on column intra365.audit_set_aside.set_aside_id is 'Of what the entry says: one that comes twice is kept once.';
comment on column intra365.audit_set_aside.entry is 'JSON, as text: it may hold what a JSON column would refuse.';
insert into intra365.partition_policies (table_name, width, keep) values ('audit_set_aside', '30 days', '400 days');

alter table intra365.system_events add column message text;
comment on column intra365.system_events.message is 'What the event is about, as text that an erasure can search; where it was no text, its bytes stand in the details (base64).';

insert into intra365.personal_columns values
  ('audit_set_aside', 'user_id', 'user', 'pseudonym', 'null'),
  ('audit_set_aside', 'entry', 'text', 'pseudonym', 'null'),
  ('audit_set_aside', 'reason', 'text', 'pseudonym', 'null'),
  ('system_events', 'message', 'text', 'delete', 'null');

-- What was set aside so far: whole messages in base64, with the entries of any tenants. Where a zero byte was the reason,
-- it becomes U+FFFD, as it does for entries that come now.
-- zero-downtime: rewrite: messages that nobody could read; there are none, or a few
do $$
declare one record; bytes bytea;
begin
  for one in select event_id, at, details ->> 'message' as message, details ->> 'reason' as reason
               from intra365.system_events where type = 'audit.set_aside' loop
    bytes := decode(one.message, 'base64');
    begin
      insert into intra365.audit_set_aside (tenant_id, set_aside_id, at, tried_at, reason, user_id, entry)
        select r ->> 'tenant', encode(sha256(convert_to(r ->> 'entry', 'UTF8')), 'hex'), one.at, one.at, coalesce(one.reason, ''),
               nullif(substring(r ->> 'entry' from '"userId":"([A-Za-z0-9_-]{1,64})"'), ''), r ->> 'entry'
          from json_array_elements(replace(convert_from(bytes, 'UTF8'), '\u0000', '\ufffd')::json) as r
        on conflict do nothing;
      delete from intra365.system_events e where e.at = one.at and e.event_id = one.event_id;
    exception when others then
      -- The bytes of ASCII text, and a mark for each that is none.
      update intra365.system_events e
         set message = (select string_agg(case when b between 32 and 126 then chr(b) else U&'\FFFD' end, '' order by n)
                          from generate_series(0, length(bytes) - 1) as n, lateral (select get_byte(bytes, n) as b) as byte),
             details = jsonb_build_object('reason', one.reason, 'bytes', one.message)
       where e.at = one.at and e.event_id = one.event_id;
    end;
  end loop;
end $$;
select intra365.maintain_partitions();
