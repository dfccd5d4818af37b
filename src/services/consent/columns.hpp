// The columns of a record as every statement reads them.
#pragma once

#define CONSENT_COLUMNS                                                                                     \
  "consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at, revoked_at, metadata, " \
  "epoch, mate_epoch, status, revision, method, notice_version, superseded_by, parent_id, "                 \
  "delegation_depth, intra365.consent_members(tenant_id, user_id) as members"
