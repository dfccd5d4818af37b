-- Proof that outlives the person's data. Every change of a consent is chained to the one before it:
--
--   subject = sha256(salt of the person || user id)         who, without saying who
--   hash    = sha256(hash before it || statement)           the statement is the change as text, with the subject
--
-- A receipt carries statements, hashes and the salt, so whoever holds it can show whose it is. When a person's data is
-- erased the salt goes with the user id: the chain still holds, and nobody can tell any more whose it was.

create table intra365.consent_identities (
  tenant_id  text not null,
  user_id    text not null,
  salt       bytea not null default (uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())),
  sealed_key bytea,
  primary key (tenant_id, user_id)
);
select intra365.protect('consent_identities');
revoke update, delete on intra365.consent_identities from intra365_service;
grant update (sealed_key) on intra365.consent_identities to intra365_service;
comment on table intra365.consent_identities is 'What ties proof and evidence to a person. Without its row neither can be read back to them.';
comment on column intra365.consent_identities.sealed_key is 'Key of the person''s evidence, sealed with the key-encryption key.';

create table intra365.consent_evidence (
  tenant_id   text not null,
  evidence_id text not null,
  user_id     text not null,
  sealed      bytea not null,
  recorded_at timestamptz not null default now(),
  primary key (tenant_id, evidence_id)
);
create index consent_evidence_by_user on intra365.consent_evidence (tenant_id, user_id);
select intra365.protect('consent_evidence');
revoke update, delete on intra365.consent_evidence from intra365_service;
comment on table intra365.consent_evidence is 'What the person was shown and from where they answered, sealed with a key of their own. Referred to as evidence:<id>.';

alter table intra365.consent_history
  add column subject bytea,
  add column hash bytea;
comment on column intra365.consent_history.subject is 'sha256 of the person''s salt and user id: who, without saying who.';
comment on column intra365.consent_history.hash is 'sha256 of the hash before it, of the same consent, and of the statement.';

create function intra365.consent_time(at timestamptz) returns text
  language sql stable parallel safe
  return to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');

-- What is hashed, version 1: never changed, since old hashes are computed with it. Nothing in it names the person.
create function intra365.consent_statement(h intra365.consent_history) returns text
  language sql stable parallel safe
  return json_build_object(
    'v', 1, 'consentId', h.consent_id, 'subject', encode(h.subject, 'hex'), 'mateId', h.mate_id, 'event', h.event,
    'actor', case when h.actor like 'user:%' then 'person' else h.actor end, 'purposes', h.purposes, 'scopes', h.scopes,
    'expiresAt', intra365.consent_time(h.expires_at), 'validFrom', intra365.consent_time(h.valid_from),
    'recordedAt', intra365.consent_time(h.recorded_at), 'epoch', h.epoch, 'revision', h.revision, 'method', h.method,
    'noticeVersion', h.notice_version, 'evidence', case when h.evidence like 'evidence:%' then h.evidence end,
    'supersededBy', h.superseded_by, 'parentId', h.parent_id, 'delegationDepth', h.delegation_depth)::text;

-- The consent's record is locked by whoever adds to its history, so the last hash is the last.
create function intra365.chain_consent_change() returns trigger language plpgsql as $$
declare of_person bytea; before bytea;
begin
  select salt into of_person from intra365.consent_identities where tenant_id = new.tenant_id and user_id = new.user_id;
  if of_person is null then
    insert into intra365.consent_identities (tenant_id, user_id) values (new.tenant_id, new.user_id) on conflict do nothing;
    select salt into of_person from intra365.consent_identities where tenant_id = new.tenant_id and user_id = new.user_id;
  end if;
  select hash into before from intra365.consent_history
   where tenant_id = new.tenant_id and consent_id = new.consent_id order by sequence desc limit 1;
  new.subject := sha256(of_person || convert_to(new.user_id, 'UTF8'));
  new.hash := sha256(coalesce(before, ''::bytea) || convert_to(intra365.consent_statement(new), 'UTF8'));
  return new;
end $$;

-- Changes that are older than the chain.
do $$
declare old intra365.consent_history; before bytea; of_consent text := '';
begin
  insert into intra365.consent_identities (tenant_id, user_id)
    select distinct tenant_id, user_id from intra365.consent_history;
  update intra365.consent_history h set subject = sha256(i.salt || convert_to(i.user_id, 'UTF8'))
    from intra365.consent_identities i where i.tenant_id = h.tenant_id and i.user_id = h.user_id;
  for old in select * from intra365.consent_history order by tenant_id, consent_id, sequence loop
    if of_consent <> old.tenant_id || '.' || old.consent_id then
      of_consent := old.tenant_id || '.' || old.consent_id;
      before := ''::bytea;
    end if;
    before := sha256(before || convert_to(intra365.consent_statement(old), 'UTF8'));
    update intra365.consent_history set hash = before where sequence = old.sequence;
  end loop;
end $$;
alter table intra365.consent_history alter column subject set not null, alter column hash set not null;
create trigger consent_chain before insert on intra365.consent_history
  for each row execute function intra365.chain_consent_change();
