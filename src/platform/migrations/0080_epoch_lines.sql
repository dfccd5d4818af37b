-- Epochs count changes, so that whoever keeps a copy knows what it has. A database that was restored to an earlier time, or
-- whose standby took over before it had everything, would count on from less, and the same numbers would mean other changes.
-- It does so on a timeline of its own: the timeline stands in the bits above the count (guard/epoch.hpp), so that every
-- copy notices and begins anew.

create function intra365.epoch_base() returns bigint language sql stable parallel safe as $$
  -- Numbers stay below 2^53, which every JSON reader takes. A standby is not asked where its own log would begin.
  select case when pg_is_in_recovery() then 0
              else least(('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::bigint - 1, 8190) << 40 end
$$;
comment on function intra365.epoch_base is 'Epochs on this timeline of the database are greater than this, or from before it began.';
