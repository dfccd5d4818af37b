-- Identities, their keys and tokens.

create table intra365.principals (
  tenant_id    text not null references intra365.tenants,
  principal_id text not null check (principal_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  kind         text not null check (kind in ('mate', 'user')),
  roles        text[] not null check (cardinality(roles) between 1 and 16),
  created_at   timestamptz not null default now(),
  primary key (tenant_id, principal_id)
);
select intra365.protect('principals');
comment on table intra365.principals is 'Who may log in. Mates and people share one name space, because a name is also an inbox.';

create table intra365.users (
  tenant_id    text not null,
  user_id      text not null,
  display_name text,
  country      text check (country ~ '^[A-Z]{2}$'),
  profile      jsonb not null default '{}',
  created_at   timestamptz not null default now(),
  primary key (tenant_id, user_id),
  foreign key (tenant_id, user_id) references intra365.principals (tenant_id, principal_id)
);
select intra365.protect('users');
comment on table intra365.users is 'User accounts and profiles.';

create table intra365.user_identities (
  tenant_id text not null,
  issuer    text not null,
  subject   text not null,
  user_id   text not null,
  claims    jsonb not null default '{}',
  linked_at timestamptz not null default now(),
  primary key (tenant_id, issuer, subject),
  foreign key (tenant_id, user_id) references intra365.users
);
select intra365.protect('user_identities');
comment on table intra365.user_identities is 'External identity provider mappings (Entra ID, GitHub, …).';

create table intra365.api_keys (
  key_id       text primary key check (key_id ~ '^[A-Za-z0-9]{12}$'),
  tenant_id    text not null,
  principal_id text not null,
  name         text,
  secret_hash  bytea not null,
  scopes       text[] not null default '{}',
  nkey         text,
  created_at   timestamptz not null default now(),
  expires_at   timestamptz,
  revoked_at   timestamptz,
  last_used_at timestamptz,
  foreign key (tenant_id, principal_id) references intra365.principals
);
create index api_keys_by_tenant on intra365.api_keys (tenant_id, key_id);
select intra365.protect('api_keys');
comment on table intra365.api_keys is 'API keys; the secret is stored as SHA-256 of 256 random bits.';

-- Login cannot know the tenant before it has found the key: this function returns that one row.
create function intra365.find_api_key(wanted text)
  returns table (key_id text, tenant_id text, account text, principal_id text, kind text, roles text[], secret_hash bytea,
                 scopes text[], nkey text, expires_at timestamptz, revoked_at timestamptz)
  language sql stable security definer set search_path = pg_catalog, intra365
  as $$ select k.key_id, k.tenant_id, t.account, k.principal_id, p.kind, p.roles, k.secret_hash, k.scopes, k.nkey, k.expires_at, k.revoked_at
          from intra365.api_keys k
          join intra365.principals p using (tenant_id, principal_id)
          join intra365.tenants t using (tenant_id)
         where k.key_id = wanted $$;
revoke all on function intra365.find_api_key(text) from public;
grant execute on function intra365.find_api_key(text) to intra365_service;

create table intra365.signing_keys (
  kid        text primary key,
  seed       bytea not null,
  public_jwk jsonb not null,
  state      text not null check (state in ('next', 'active', 'retired')),
  created_at timestamptz not null default now()
);
create unique index signing_keys_one_active on intra365.signing_keys (state) where state = 'active';
comment on table intra365.signing_keys is 'Keys of the STS for access tokens; seeds are sealed with the key-encryption key.';

create table intra365.tokens (
  jti          text not null,
  tenant_id    text not null,
  principal_id text not null,
  key_id       text,
  issued_at    timestamptz not null,
  expires_at   timestamptz not null,
  primary key (tenant_id, jti)
);
create index tokens_by_principal on intra365.tokens (tenant_id, principal_id, expires_at);
select intra365.protect('tokens');
comment on table intra365.tokens is 'Access tokens that were issued: their metadata, never the token.';

create table intra365.refresh_tokens (
  token_hash       bytea primary key,
  tenant_id        text not null,
  family_id        text not null,
  principal_id     text not null,
  key_id           text,
  scopes           text[] not null default '{}',
  issued_at        timestamptz not null default now(),
  expires_at       timestamptz not null,
  used_at          timestamptz,
  successor_sealed bytea,
  revoked_at       timestamptz,
  foreign key (tenant_id, principal_id) references intra365.principals
);
create index refresh_tokens_by_family on intra365.refresh_tokens (tenant_id, family_id);
create index refresh_tokens_by_principal on intra365.refresh_tokens (tenant_id, principal_id);
select intra365.protect('refresh_tokens');
comment on table intra365.refresh_tokens is 'Refresh tokens as hashes; each is used once, reuse ends its family.';

create function intra365.find_refresh_token(wanted bytea)
  returns table (tenant_id text, account text, family_id text, principal_id text, kind text, roles text[], key_id text, scopes text[],
                 expires_at timestamptz, used_at timestamptz, successor_sealed bytea, revoked_at timestamptz, key_revoked_at timestamptz)
  language sql stable security definer set search_path = pg_catalog, intra365
  as $$ select r.tenant_id, t.account, r.family_id, r.principal_id, p.kind, p.roles, r.key_id, r.scopes,
               r.expires_at, r.used_at, r.successor_sealed, r.revoked_at, k.revoked_at
          from intra365.refresh_tokens r
          join intra365.principals p using (tenant_id, principal_id)
          join intra365.tenants t using (tenant_id)
          left join intra365.api_keys k on k.key_id = r.key_id
         where r.token_hash = wanted $$;
revoke all on function intra365.find_refresh_token(bytea) from public;
grant execute on function intra365.find_refresh_token(bytea) to intra365_service;

create table intra365.token_revocations (
  epoch      bigint primary key,
  tenant_id  text not null,
  jti        text,
  subject    text,
  revoked_at timestamptz not null,
  expires_at timestamptz not null,
  revoked_by text not null,
  check (num_nonnulls(jti, subject) = 1)
);
create index token_revocations_by_tenant on intra365.token_revocations (tenant_id, epoch);
select intra365.protect('token_revocations');
comment on table intra365.token_revocations is 'Tokens and subjects that are dead. The epoch has no gaps: enforcement points count by it.';

-- One revocation at a time, so that epochs commit in their order; returns what the pushes need to say.
create function intra365.add_revocation(for_tenant text, of_jti text, of_subject text, until_at timestamptz, by_actor text)
  returns table (epoch bigint, previous_epoch bigint, previous_tenant_epoch bigint, revoked_at timestamptz)
  language plpgsql security definer set search_path = pg_catalog, intra365
  as $$
declare last_epoch bigint; last_tenant_epoch bigint; at_time timestamptz;
begin
  perform pg_advisory_xact_lock(3650001);
  select coalesce(max(r.epoch), 0), coalesce(max(r.epoch) filter (where r.tenant_id = for_tenant), 0)
    into last_epoch, last_tenant_epoch from intra365.token_revocations r;
  at_time := clock_timestamp();
  insert into intra365.token_revocations values (last_epoch + 1, for_tenant, of_jti, of_subject, at_time, until_at, by_actor);
  return query select last_epoch + 1, last_epoch, last_tenant_epoch, at_time;
end $$;
revoke all on function intra365.add_revocation(text, text, text, timestamptz, text) from public;
grant execute on function intra365.add_revocation(text, text, text, timestamptz, text) to intra365_service;

-- For platform services, who answer for every tenant.
create function intra365.revocations_since(since bigint)
  returns table (epoch bigint, tenant_id text, jti text, subject text, revoked_at timestamptz, expires_at timestamptz)
  language sql stable security definer set search_path = pg_catalog, intra365
  as $$ select epoch, tenant_id, jti, subject, revoked_at, expires_at from intra365.token_revocations
         where epoch > since and expires_at > now() order by epoch $$;
revoke all on function intra365.revocations_since(bigint) from public;
grant execute on function intra365.revocations_since(bigint) to intra365_service;

create function intra365.revocation_epoch() returns bigint
  language sql stable security definer set search_path = pg_catalog, intra365
  as $$ select coalesce(max(epoch), 0) from intra365.token_revocations $$;
revoke all on function intra365.revocation_epoch() from public;
grant execute on function intra365.revocation_epoch() to intra365_service;

create table intra365.user_sessions (
  session_id   text primary key,
  tenant_id    text not null,
  user_id      text not null,
  started_at   timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  ended_at     timestamptz,
  metadata     jsonb not null default '{}',
  foreign key (tenant_id, user_id) references intra365.users
);
select intra365.protect('user_sessions');
comment on table intra365.user_sessions is 'Active user sessions.';
