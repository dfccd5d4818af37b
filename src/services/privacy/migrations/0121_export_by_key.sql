-- Pages of an export follow the key of a table: rows that come or go meanwhile move none of the others.

-- zero-downtime: drop: two that differ in a type alone could not be told apart; an export that an instance of the version before answers fails until it is replaced, and loses nothing
drop function intra365.export_person(text, text, text, bigint, int);
create function intra365.export_person(for_tenant text, of_user text, of_table text, after jsonb, at_most int)
  returns table (content jsonb, key jsonb) language plpgsql stable security definer set search_path = pg_catalog, intra365 as $$
declare by_key constant text := intra365.key_of(of_table); hidden text[];
begin
  if intra365.current_tenant() is distinct from for_tenant then
    raise exception 'an export of another tenant' using errcode = 'insufficient_privilege';
  end if;
  if not exists (select from intra365.personal_columns c where c.table_name = of_table) then
    raise exception 'no personal data in %', of_table using errcode = 'invalid_parameter_value';
  end if;
  select coalesce(array_agg(c.column_name), '{}') into hidden from intra365.personal_columns c where c.table_name = of_table and c.holds = 'secret';
  return query execute format('select to_jsonb(t) - $6::text[], (select to_jsonb(k) from (select %s) k) from intra365.%I t where %s (%s) and %s order by %s limit $7',
      by_key, of_table, case when intra365.has_tenant(of_table) then 't.tenant_id = $1 and' else '$1 is not null and' end,
      intra365.personal_condition(of_table),
      case when after is null then 'true' else format('(%s) > (%s)', by_key, intra365.key_literals(of_table, after)) end, by_key)
    using for_tenant, of_user, 'user:' || of_user, intra365.word_pattern(of_user), intra365.mention_path(of_user), hidden, at_most;
end $$;
revoke all on function intra365.export_person from public;
grant execute on function intra365.export_person to intra365_service;
