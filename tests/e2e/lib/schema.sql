-- The schema in a form that is the same on every machine: what tests/e2e/schema.test.js compares with
-- docs/generated/schema.md. Partitions of a week are left out, they come and go.
with relations as (
  select c.oid, c.relname, c.relkind, c.relrowsecurity,
         case c.relkind when 'v' then 'view' when 'm' then 'materialised view' when 'p' then 'table by range' else 'table' end as kind
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = 'intra365' and c.relkind in ('r', 'p', 'v', 'm') and c.relname !~ '_\d{8}$'
), lines as (
  select r.relname, 0 as part, 0 as place, format(E'\n## %s\n\n%s%s. %s\n\n```sql', r.relname, initcap(left(r.kind, 1)) || substr(r.kind, 2),
           case when r.relrowsecurity then ', each tenant sees its own rows' else '' end, coalesce(obj_description(r.oid, 'pg_class'), 'NO COMMENT')) as line
    from relations r
  union all
  select r.relname, 1, a.attnum, format('%s %s%s%s', a.attname, format_type(a.atttypid, a.atttypmod), case when a.attnotnull then ' not null' else '' end,
           coalesce(case when a.attgenerated <> '' then ' generated ' else ' default ' end || pg_get_expr(d.adbin, d.adrelid), ''))
    from relations r join pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    left join pg_attrdef d on d.adrelid = r.oid and d.adnum = a.attnum
  union all
  select r.relname, 2, row_number() over (partition by r.oid order by pg_get_constraintdef(c.oid))::int, 'constraint ' || pg_get_constraintdef(c.oid)
    from relations r join pg_constraint c on c.conrelid = r.oid and c.contype <> 'n'
  union all
  select r.relname, 3, row_number() over (partition by r.oid order by pg_get_indexdef(i.indexrelid))::int, pg_get_indexdef(i.indexrelid)
    from relations r join pg_index i on i.indrelid = r.oid and not i.indisprimary
  union all
  select r.relname, 4, row_number() over (partition by r.oid order by p.polname)::int, format('policy %s using (%s) with check (%s)', p.polname,
           pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
    from relations r join pg_policy p on p.polrelid = r.oid
  union all
  select r.relname, 5, row_number() over (partition by r.oid order by pg_get_triggerdef(t.oid))::int, pg_get_triggerdef(t.oid)
    from relations r join pg_trigger t on t.tgrelid = r.oid and not t.tgisinternal
  union all
  select r.relname, 6, 0, 'grant ' || string_agg(lower(a.privilege_type), ', ' order by a.privilege_type) || ' to intra365_service'
    from relations r join pg_class c on c.oid = r.oid, aclexplode(c.relacl) a join pg_roles g on g.oid = a.grantee
   where g.rolname = 'intra365_service' group by r.relname
  union all
  select r.relname, 7, 0, '```' from relations r
)
select line from (
  select relname, part, place, line from lines
  union all
  select '~functions', 0, 0, E'\n## Functions\n\n```sql'
  union all
  select '~functions', 1, row_number() over (order by p.proname, p.oid::regprocedure::text)::int,
         format('%s returns %s%s%s', p.oid::regprocedure, pg_get_function_result(p.oid), case when p.prosecdef then ' as its owner' else '' end,
                case when has_function_privilege('intra365_service', p.oid, 'execute') then ', for services' else '' end)
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace where n.nspname = 'intra365'
  union all
  select '~functions', 2, 0, '```'
) everything order by relname collate "C", part, place, line collate "C"
