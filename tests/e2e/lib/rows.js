// Rows for every table, made up from the catalogue: types, keys, checks. What a check wants that a catalogue cannot tell is
// said below; a new table needs nothing here as long as its rows need nothing special.

/** Tables of settings, which migrations fill. */
const settings = ["schema_migrations", "partition_policies", "partitions", "personal_columns", "sealed_columns", "consent_cache_rounds"];

/** What `column` or `table.column` holds; null: nothing. `t` is the tenant, `i` the row's number. */
const special = {
  user_id: (t, i) => `'p-${t}-${i}'`,
  mate_id: (t, i) => `'p-${t}-${i}'`,
  principal_id: (t, i) => `'p-${t}-${i}'`,
  country: () => "'DE'",
  currency: () => "'EUR'",
  endpoint: () => "'https://example.org'",
  roles: () => "'{user}'",
  scopes: () => "'{profile.read}'",
  purposes: () => "'{analytics}'",
  key_id: (t, i) => `'${`${t}k${i}`.padEnd(12, "0").slice(0, 12)}'`,
  expires_at: (t, i) => `now() + ${i} * interval '90 days'`,
  until_at: () => "'infinity'",
  "audit_logs.action": (t, i) => (i % 2 ? "'call'" : "'consent.grant'"),
  "consent_records.granted": () => "true",
  "consent_records.status": () => "'active'",
  "policies.active": () => "true",
  "policies.status": () => "'active'",
  "tenant_keys.destroyed_at": null,
  "token_revocations.subject": null,
  "llm_models.fallback_provider_id": null,
  "llm_models.fallback_model_id": null,
  "consent_household_members.left_at": null,
};

const catalogue = `
  select json_agg(json_build_object('name', c.relname,
    'columns', (select json_agg(json_build_object('name', a.attname, 'number', a.attnum, 'type', format_type(a.atttypid, null), 'required', a.attnotnull,
                  'made', a.attgenerated <> '' or a.attidentity <> '') order by a.attnum)
                from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
    'references', (select coalesce(json_agg(json_build_object('table', r.relname, 'columns', f.conkey, 'their', f.confkey)), '[]')
                   from pg_constraint f join pg_class r on r.oid = f.confrelid where f.conrelid = c.oid and f.contype = 'f' and f.conparentid = 0),
    'checks', (select coalesce(json_agg(pg_get_constraintdef(k.oid)), '[]') from pg_constraint k where k.conrelid = c.oid and k.contype = 'c')) order by c.relname)
  from pg_class c where c.relnamespace = 'intra365'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition`;

/** The tables, each after those that it refers to. `query(sql)` gives the lines of a result. */
export function tables(query) {
  const all = JSON.parse(query(catalogue).join("")).filter(({ name }) => !settings.includes(name));
  const byName = new Map(all.map((table) => [table.name, table]));
  const ordered = new Set();
  const visit = (table) => {
    if (ordered.has(table)) return;
    for (const { table: other } of table.references) if (other !== table.name) visit(byName.get(other));
    ordered.add(table);
  };
  all.forEach(visit);
  for (const table of all) {
    table.tenants = table.columns.some(({ name }) => name === "tenant_id");
    table.column = (number) => table.columns.find((column) => column.number === number).name;
    table.others = byName;
  }
  return [...ordered];
}

function value(table, column, tenant, i) {
  const known = special[`${table.name}.${column.name}`];
  if (known !== undefined) return known === null ? "null" : known(tenant, i);
  if (column.name === "tenant_id") return `'${tenant}'`;
  for (const reference of table.references) {
    const at = reference.columns.findIndex((number) => table.column(number) === column.name);
    if (at < 0) continue;
    if (reference.table === table.name) return "null";
    const other = table.others.get(reference.table);
    return value(other, other.columns.find(({ number }) => number === reference.their[at]), tenant, i);
  }
  if (special[column.name]) return special[column.name](tenant, i);
  const choice = table.checks.map((check) => new RegExp(`\\(?\\(?${column.name} = ANY \\(ARRAY\\[([^\\]]*)\\]`).exec(check)).find(Boolean);
  if (choice) return choice[1].split(", ")[(i - 1) % choice[1].split(", ").length];
  const number = `${i + (tenant.charCodeAt(tenant.length - 1) % 10) * 1000}`;
  const words = `'${column.name}-${tenant}-${i}'`;
  const made = {
    text: words, bytea: `sha256(${words}::bytea)`, bigint: number, integer: `${i}`, boolean: "false", jsonb: `'{"n": ${i}}'`, "text[]": `array[${words}]`,
    "integer[]": `array[${i}]`, date: "current_date", interval: "interval '1 day'", "timestamp with time zone": `now() - ${i} * interval '1 hour'`,
  };
  if (!(column.type in made)) throw new Error(`what is a ${column.type}, for ${table.name}.${column.name}?`);
  return made[column.type];
}

/** One row of a table, as a statement. */
export function insert(table, tenant, i) {
  const columns = table.columns.filter(({ made }) => !made);
  return `insert into intra365.${table.name} (${columns.map(({ name }) => name).join(", ")}) values (${columns.map((column) => value(table, column, tenant, i)).join(", ")})`;
}

/** Rows of every table, for each of the tenants; tables without tenants get them once. */
export const fill = (all, tenants, rows) =>
  all.flatMap((table) => (table.tenants ? tenants : tenants.slice(0, 1)).flatMap((tenant) =>
    Array.from({ length: table.name === "tenants" ? 1 : rows }, (_, i) => `${insert(table, tenant, i + 1)} on conflict do nothing;`))).join("\n");

/** How many rows each table has, and a digest of them, of the given columns; lines `table count digest`. */
export const digests = (all) =>
  all.map((table) => `select '${table.name}', count(*), md5(string_agg(r, '' order by r)) from (select md5(row(${table.columns.map(({ name }) => name).join(", ")})::text) as r from intra365.${table.name}) rows`).join(" union all ");
