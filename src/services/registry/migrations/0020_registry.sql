-- Who is there, what they can do, and since when.

create table intra365.mates (
  tenant_id      text not null,
  mate_id        text not null,
  name           text not null,
  type           text not null,
  version        text not null,
  endpoints      jsonb not null default '{}',
  authentication jsonb,
  data_access    jsonb,
  required_scopes text[] not null default '{}',
  status         text not null check (status in ('active', 'degraded', 'draining', 'inactive')),
  description    text,
  tags           text[] not null default '{}',
  metadata       jsonb not null default 'null',
  revision       bigint not null default 1,
  registered_at  timestamptz not null default now(),
  last_seen_at   timestamptz,
  search         tsvector generated always as (
                   to_tsvector('simple', name || ' ' || coalesce(description, '') || ' ' || mate_id)) stored,
  primary key (tenant_id, mate_id),
  foreign key (tenant_id, mate_id) references intra365.principals (tenant_id, principal_id)
);
create index mates_search on intra365.mates using gin (search);
select intra365.protect('mates');
comment on table intra365.mates is 'Registered Mates and their metadata.';

create table intra365.mate_capabilities (
  tenant_id  text not null,
  capability text not null,
  mate_id    text not null,
  primary key (tenant_id, capability, mate_id),
  foreign key (tenant_id, mate_id) references intra365.mates on delete cascade
);
create index mate_capabilities_by_mate on intra365.mate_capabilities (tenant_id, mate_id);
select intra365.protect('mate_capabilities');
comment on table intra365.mate_capabilities is 'Capabilities offered by each Mate.';

create table intra365.mate_versions (
  tenant_id     text not null,
  mate_id       text not null,
  version       text not null,
  first_seen_at timestamptz not null default now(),
  last_seen_at  timestamptz not null default now(),
  primary key (tenant_id, mate_id, version)
);
select intra365.protect('mate_versions');
comment on table intra365.mate_versions is 'Version history and deployment tracking.';

create table intra365.mate_dependencies (
  tenant_id  text not null,
  mate_id    text not null,
  depends_on text not null check (depends_on ~ '^[A-Za-z0-9_-]{1,64}$'),
  primary key (tenant_id, mate_id, depends_on),
  foreign key (tenant_id, mate_id) references intra365.mates on delete cascade
);
select intra365.protect('mate_dependencies');
comment on table intra365.mate_dependencies is 'Dependencies between Mates.';
