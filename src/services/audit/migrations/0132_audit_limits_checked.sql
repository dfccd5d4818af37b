-- What was recorded before the limits. An entry that is beyond them stays as it is, because the chain was made of it: then
-- the limit holds for what comes, and sums can bear the rest.
do $$
declare one record;
begin
  for one in values ('audit_logs', 'audit_logs_count_check'), ('audit_logs', 'audit_logs_duration_us_check'),
                    ('data_access_logs', 'data_access_logs_count_check') loop
    begin
      execute format('alter table intra365.%I validate constraint %I', one.column1, one.column2);
    exception when check_violation then
      raise warning 'rows of % from before are beyond %', one.column1, one.column2;
    end;
  end loop;
end $$;
