-- What is published of a consent says how it stands, not only whether it is granted; and what a history entry holds of evidence
-- stays out: evidence has a permission of its own.

alter publication intra365_changes drop table intra365.consent_records, intra365.consent_history;
alter publication intra365_changes add table
  intra365.consent_records (tenant_id, consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, expires_at, revoked_at,
                            epoch, mate_epoch, status, revision, method, notice_version, superseded_by, parent_id, delegation_depth),
  intra365.consent_history (tenant_id, sequence, consent_id, user_id, mate_id, event, actor, purposes, scopes, expires_at, epoch,
                            recorded_at, valid_from, revision, method, notice_version, superseded_by, parent_id, delegation_depth, trace_id);
select intra365.show_published_to_replication();
