-- A comparison of the cache says that it is still at it, so that one that died is begun again soon.
alter table intra365.consent_cache_rounds add column alive_at timestamptz not null default '-infinity';
