-- A person is found from the side of their identities and sessions, too: at their deletion, and in lists.

create index user_identities_by_user on intra365.user_identities (tenant_id, user_id);
create index user_sessions_by_user on intra365.user_sessions (tenant_id, user_id);
comment on table intra365.schema_migrations is 'Which migrations were applied, with their checksums.';
