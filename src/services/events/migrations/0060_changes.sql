-- What change data capture carries row by row. No secrets, no login data, and of consents nothing that says more
-- about a person than the decision itself: `metadata` may hold addresses and stays out.

create publication intra365_changes for table
  intra365.consent_records (tenant_id, consent_id, user_id, mate_id, purposes, scopes, granted, granted_at,
                            expires_at, revoked_at, epoch, mate_epoch),
  intra365.consent_history,
  intra365.policies,
  intra365.policy_versions,
  intra365.mates,
  intra365.mate_capabilities,
  intra365.mate_versions;
