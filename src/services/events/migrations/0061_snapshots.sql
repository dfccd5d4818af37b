-- A change stream that lost its place reads the published tables anew (a snapshot), as the role that replicates: it sees
-- every tenant's rows of the published columns, and nothing else. A later migration that changes the publication calls
-- this again. Where change data capture runs as another role, an operator grants it the same.

create function intra365.show_published_to_replication() returns void language plpgsql as $$
declare
  published record;
begin
  if not exists (select from pg_roles where rolname = 'intra365_replication') then
    return;
  end if;
  grant usage on schema intra365 to intra365_replication;
  for published in
    select t.tablename, case when e.prattrs is not null then
             ' (' || (select string_agg(quote_ident(name), ', ') from unnest(t.attnames) name) || ')' end as columns
      from pg_publication p
      join pg_publication_tables t on t.pubname = p.pubname
      join pg_publication_rel e on e.prpubid = p.oid and e.prrelid = format('%I.%I', t.schemaname, t.tablename)::regclass
     where p.pubname = 'intra365_changes' and t.schemaname = 'intra365'
  loop
    execute format('revoke select on intra365.%I from intra365_replication', published.tablename);
    execute format('grant select%s on intra365.%I to intra365_replication', coalesce(published.columns, ''),
                   published.tablename);
    execute format('drop policy if exists replication_rows on intra365.%I', published.tablename);
    execute format('create policy replication_rows on intra365.%I for select to intra365_replication using (true)',
                   published.tablename);
  end loop;
end $$;
comment on function intra365.show_published_to_replication is
  'Lets the role that replicates read what the publication carries, for snapshots of the change stream.';
revoke all on function intra365.show_published_to_replication from public;
select intra365.show_published_to_replication();
