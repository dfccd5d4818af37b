-- An index that begins with the tenant looks to the planner as good as the key for finding one row of it, as long as there
-- are no statistics: it then reads all of the tenant's rows. What tells rows apart comes first, so only the key fits.

drop index intra365.refresh_tokens_by_family, intra365.refresh_tokens_by_principal, intra365.tokens_by_principal;
create index refresh_tokens_by_family on intra365.refresh_tokens (family_id, tenant_id);
create index refresh_tokens_by_principal on intra365.refresh_tokens (principal_id, tenant_id);
create index tokens_by_principal on intra365.tokens (principal_id, tenant_id, expires_at);
drop index intra365.user_identities_by_user, intra365.user_sessions_by_user;
create index user_identities_by_user on intra365.user_identities (user_id, tenant_id);
create index user_sessions_by_user on intra365.user_sessions (user_id, tenant_id);
