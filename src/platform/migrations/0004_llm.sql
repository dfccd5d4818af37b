-- Language models: who offers which, what was asked, what it cost. The LLM layer (mission, "LLM Integration") is what
-- uses these tables; until it is built they are empty. Money is in millionths of its currency. Credentials and
-- answers are sealed with the key-encryption key, because answers hold what people said.

create table intra365.llm_providers (
  tenant_id   text not null references intra365.tenants,
  provider_id text not null check (provider_id ~ '^[A-Za-z0-9_-]{1,64}$'),
  kind        text not null check (kind in ('azure-ai-foundry', 'anthropic', 'google-gemini', 'openai-compatible')),
  name        text not null,
  endpoint    text not null check (endpoint ~ '^https?://'),
  credentials bytea,
  settings    jsonb not null default '{}',
  rate_limits jsonb not null default '{}',
  enabled     boolean not null default true,
  created_at  timestamptz not null default now(),
  updated_at  timestamptz not null default now(),
  primary key (tenant_id, provider_id)
);
select intra365.protect('llm_providers');
comment on table intra365.llm_providers is 'Configured LLM providers. For the LLM layer.';
comment on column intra365.llm_providers.credentials is 'Sealed; bound to tenant and provider.';

create table intra365.llm_models (
  tenant_id                 text not null,
  provider_id               text not null,
  model_id                  text not null check (length(model_id) between 1 and 128),
  capabilities              text[] not null default '{}',
  context_tokens            bigint check (context_tokens > 0),
  max_output_tokens         bigint check (max_output_tokens > 0),
  input_micros_per_million  bigint check (input_micros_per_million >= 0),
  output_micros_per_million bigint check (output_micros_per_million >= 0),
  currency                  text not null default 'USD' check (currency ~ '^[A-Z]{3}$'),
  fallback_provider_id      text,
  fallback_model_id         text,
  settings                  jsonb not null default '{}',
  enabled                   boolean not null default true,
  primary key (tenant_id, provider_id, model_id),
  foreign key (tenant_id, provider_id) references intra365.llm_providers on delete cascade,
  foreign key (tenant_id, fallback_provider_id, fallback_model_id) references intra365.llm_models,
  check ((fallback_provider_id is null) = (fallback_model_id is null))
);
create index llm_models_by_fallback on intra365.llm_models (tenant_id, fallback_provider_id, fallback_model_id)
  where fallback_model_id is not null;
select intra365.protect('llm_models');
comment on table intra365.llm_models is 'Available models per provider, their prices and limits. For the LLM layer.';

create table intra365.llm_requests (
  tenant_id     text not null,
  request_id    text not null,
  at            timestamptz not null,
  provider_id   text not null,
  model_id      text not null,
  mate_id       text,
  user_id       text,
  consent_id    text,
  purpose       text,
  prompt_sha256 bytea not null check (length(prompt_sha256) = 32),
  streamed      boolean not null default false,
  from_cache    boolean not null default false,
  attempts      int not null default 1 check (attempts >= 1),
  outcome       text not null check (outcome in ('answered', 'refused', 'failed', 'cancelled')),
  code          text,
  input_tokens  bigint not null default 0,
  output_tokens bigint not null default 0,
  cost_micros   bigint not null default 0,
  currency      text not null default 'USD' check (currency ~ '^[A-Z]{3}$'),
  first_token_us bigint,
  duration_us   bigint,
  trace_id      text,
  metadata      jsonb not null default '{}',
  primary key (tenant_id, at, request_id)
) partition by range (at);
create table intra365.llm_requests_default partition of intra365.llm_requests default;
create index llm_requests_by_mate on intra365.llm_requests (tenant_id, mate_id, at) where mate_id is not null;
create index llm_requests_by_user on intra365.llm_requests (tenant_id, user_id, at) where user_id is not null;
create index llm_requests_by_trace on intra365.llm_requests (tenant_id, trace_id) where trace_id is not null;
select intra365.protect('llm_requests');
select intra365.protect('llm_requests_default');
revoke delete on intra365.llm_requests, intra365.llm_requests_default from intra365_service;
comment on table intra365.llm_requests is 'Request history and metadata; never the prompt itself. For the LLM layer.';

create table intra365.llm_responses (
  tenant_id   text not null,
  cache_key   bytea not null check (length(cache_key) = 32),
  request_id  text not null,
  provider_id text not null,
  model_id    text not null,
  user_id     text,
  content     bytea not null,
  finish      text not null,
  input_tokens  bigint not null default 0,
  output_tokens bigint not null default 0,
  created_at  timestamptz not null default now(),
  expires_at  timestamptz not null,
  primary key (tenant_id, cache_key),
  foreign key (tenant_id, provider_id, model_id) references intra365.llm_models on delete cascade
);
create index llm_responses_by_model on intra365.llm_responses (tenant_id, provider_id, model_id);
create index llm_responses_by_expiry on intra365.llm_responses (expires_at);
create index llm_responses_by_user on intra365.llm_responses (tenant_id, user_id) where user_id is not null;
select intra365.protect('llm_responses');
comment on table intra365.llm_responses is 'Response cache and audit trail. For the LLM layer.';
comment on column intra365.llm_responses.cache_key is 'SHA-256 over model, parameters, prompt and whose data was in it.';
comment on column intra365.llm_responses.content is 'Sealed; bound to tenant and cache key.';

create table intra365.llm_usage (
  tenant_id     text not null,
  day           date not null,
  provider_id   text not null,
  model_id      text not null,
  mate_id       text not null default '',
  user_id       text not null default '',
  currency      text not null default 'USD' check (currency ~ '^[A-Z]{3}$'),
  requests      bigint not null default 0,
  input_tokens  bigint not null default 0,
  output_tokens bigint not null default 0,
  cost_micros   bigint not null default 0,
  primary key (tenant_id, day, provider_id, model_id, mate_id, user_id, currency)
);
create index llm_usage_by_mate on intra365.llm_usage (tenant_id, mate_id, day);
create index llm_usage_by_user on intra365.llm_usage (tenant_id, user_id, day);
select intra365.protect('llm_usage');
comment on table intra365.llm_usage is 'Token usage and cost per day, person and Mate: what budgets are held against. For the LLM layer.';

create table intra365.llm_fine_tuning (
  tenant_id       text not null,
  job_id          text not null,
  provider_id     text not null,
  base_model_id   text not null,
  provider_job    text,
  status          text not null check (status in ('created', 'running', 'succeeded', 'failed', 'cancelled')),
  configuration   jsonb not null default '{}',
  result_model_id text,
  code            text,
  created_by      text not null,
  created_at      timestamptz not null default now(),
  finished_at     timestamptz,
  primary key (tenant_id, job_id),
  foreign key (tenant_id, provider_id) references intra365.llm_providers on delete cascade
);
create index llm_fine_tuning_by_provider on intra365.llm_fine_tuning (tenant_id, provider_id);
select intra365.protect('llm_fine_tuning');
comment on table intra365.llm_fine_tuning is 'Custom model training jobs and configurations. For the LLM layer.';

insert into intra365.partition_policies (table_name, keep) values ('llm_requests', '90 days');
select intra365.maintain_partitions();
