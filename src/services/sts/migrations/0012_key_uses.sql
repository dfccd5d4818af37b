-- Keys for more than tokens: a ring for each use, so that no key signs for two.

alter table intra365.signing_keys add column use text not null default 'token' check (use in ('token', 'attestation'));
drop index intra365.signing_keys_one_active;
create unique index signing_keys_one_active on intra365.signing_keys (use, state) where state = 'active';
comment on table intra365.signing_keys is 'Keys that the platform signs with: access tokens, and documents that people keep. Seeds are sealed with the key-encryption key.';
