// The columns of a record as every statement reads them.
#pragma once

/// For whom a household's consent holds, as of the same snapshot as its epochs. Most records are no group's,
/// and cost no call.
#define CONSENT_MEMBERS \
  "case when position(':' in user_id) > 0 then intra365.consent_members(tenant_id, user_id) end as members"
#define CONSENT_COLUMNS                                                                                     \
  "consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at, revoked_at, metadata, " \
  "epoch, mate_epoch, status, revision, method, notice_version, superseded_by, parent_id, "                 \
  "delegation_depth, " CONSENT_MEMBERS
/// Whether it holds now, as far as its state and those above it go.
#define CONSENT_HOLDS                                                                 \
  "(granted and (expires_at is null or expires_at > now()) and (parent_id is null or" \
  " intra365.consents_above_hold(tenant_id, parent_id)))"
