// The database as it stands: the schema is the reviewed one, also after an upgrade from every earlier version with rows in
// every table, none is lost or changed on the way, and no tenant reaches another's. UPDATE_SCHEMA=1 writes
// docs/generated/schema.md anew.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Platform, binaries } from "./lib/platform.js";
import { digests, fill, insert, tables } from "./lib/rows.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const golden = join(root, "docs/generated/schema.md");
const platform = new Platform();

/** Runs SQL as superuser in one database and returns the lines of the result. */
function psql(sql, database = "intra365", input) {
  const url = platform.endpoints.postgres.replace(/\/[^/]*$/, `/${database}`);
  return execFileSync("psql", [url, "-qAtX", "-v", "ON_ERROR_STOP=1", ...(input === undefined ? ["-c", sql] : ["-1", "-f", "-"])], { encoding: "utf8", input, stdio: ["pipe", "pipe", "pipe"] }).split("\n");
}
const schemaQuery = readFileSync(fileURLToPath(new URL("lib/schema.sql", import.meta.url)), "utf8").replace(/^--.*\n/gm, "");
function schema(database) {
  return `<!-- Generated from a database that the migrations made: UPDATE_SCHEMA=1 node --test tests/e2e/schema.test.js -->\n# Schema\n${psql(schemaQuery, database).join("\n").trimEnd()}\n`;
}
const migrations = readdirSync(join(root, "src"), { recursive: true })
  .filter((path) => /migrations\/\d{4}_\w+\.sql$/.test(path))
  .map((path) => ({ id: basename(path, ".sql"), sql: readFileSync(join(root, "src", path), "utf8") }))
  .sort((a, b) => (a.id < b.id ? -1 : 1));

/** A database without any migration, or with those of `ids`. */
function makeDatabase(database, ids = []) {
  psql(`create database ${database} owner intra365_owner`);
  psql(`grant connect on database ${database} to intra365_service`);
  if (ids.length === 0) return;
  const earlier = migrations.filter(({ id }) => ids.includes(id.slice(0, 4)));
  assert.equal(earlier.length, ids.length);
  const record = earlier.map(({ id, sql }) => `${sql}\n;insert into intra365.schema_migrations (id, checksum) values ('${id}', '${createHash("sha256").update(sql).digest("hex")}');`);
  psql("", database, `set role intra365_owner; create schema intra365;
    create table intra365.schema_migrations (id text collate "C" primary key, checksum text not null, applied_at timestamptz not null default clock_timestamp());
    grant select on intra365.schema_migrations to public; ${record.join("\n")}`);
}
/** Brings a database to this version, as an operator does. */
function migrate(database) {
  const password = readFileSync(join(platform.data, "keys/postgres-owner.password"), "utf8").trim();
  const url = new URL(platform.endpoints.postgres);
  const config = join(platform.data, "migrate.yaml");
  writeFileSync(config, `postgres:\n  ownerDsn: postgresql://intra365_owner:${password}@${url.host}/${database}\n`, { mode: 0o600 });
  const { status, stderr } = spawnSync(join(binaries, "intra365"), ["migrate", "--config", config], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
}

/** Which migrations each earlier version had: new ones are not always the last in order. */
const before0003 = "0001 0002 0010 0011 0020 0021 0030 0031 0040 0045";
const partitioned = "0001 0002 0003 0004 0010 0011 0020 0021 0022 0030 0031 0032 0033 0040 0045 0046 0047 0050 0051 0052 0060";
const withRights = `${partitioned} 0012 0023 0034 0035 0037 0038 0039 0061 0070 0071 0072 0073 0075`;
const versions = {
  "the ground floor": "0001 0010 0020 0030 0040 0050",
  "with events": `${before0003} 0050 0060`,
  "with governed policies": `${before0003} 0046 0047 0050 0060`,
  "with partitions and the life of consents": partitioned,
  "with rights and sealed columns": withRights,
  "with lines of epochs": `${withRights} 0080 0081 0082`,
};
/** What a migration changes on purpose; everything else reads afterwards as before. */
const changedOnPurpose = {
  // Users and Mates of the schema's first versions had one status less.
};
const audited = `
  insert into intra365.audit_logs (tenant_id, entry_id, at, source, actor, action, resource, outcome, user_id)
    select t, 'e' || n, now() - n * interval '1 hour', 'platform', 'user:alice', case n % 2 when 0 then 'call' else 'consent.grant' end, 'mate:bot', 'allowed', 'alice'
      from generate_series(1, 500) n, unnest(array['t1', 't2']) t;`;

before(async () => {
  await platform.start();
});

after(async () => {
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("the schema is the reviewed one", () => {
  const now = schema();
  if (process.env.UPDATE_SCHEMA) writeFileSync(golden, now);
  assert.equal(now, readFileSync(golden, "utf8"), "look at the difference, then UPDATE_SCHEMA=1");
});

test("every table of the mission is there, and each has a comment", () => {
  const mission = `users user_identities user_sessions api_keys consent_records consent_history consent_purposes consent_scopes policies policy_versions
    policy_evaluations mates mate_capabilities mate_versions mate_dependencies llm_providers llm_models llm_requests llm_responses llm_usage llm_fine_tuning
    audit_logs data_access_logs system_events metrics_aggregates tokens token_revocations refresh_tokens`.split(/\s+/);
  const text = readFileSync(golden, "utf8");
  assert.deepEqual(mission.filter((name) => !text.includes(`\n## ${name}\n`)), []);
  const silent = text.split("\n## ").filter((part) => part.includes("NO COMMENT")).map((part) => part.split("\n")[0]);
  assert.deepEqual(silent.filter((name) => !/_default$/.test(name)), []);
});

test("no index is missing under a foreign key", () => {
  const bare = psql(`select c.conrelid::regclass || ' ' || pg_get_constraintdef(c.oid) from pg_constraint c join pg_class t on t.oid = c.conrelid
    where c.contype = 'f' and c.connamespace = 'intra365'::regnamespace and t.relname !~ '_\\d{8}$' and not exists (
      select from pg_index i where i.indrelid = c.conrelid and (i.indkey::int2[])[0:cardinality(c.conkey) - 1] @> c.conkey)`).filter(Boolean);
  assert.deepEqual(bare.filter((line) => !/ REFERENCES intra365\.tenants\(| REFERENCES intra365\.principals\(/.test(line)), []);
});

for (const [name, list] of Object.entries(versions)) {
  test(`an upgrade from the version "${name}" keeps its rows and ends in the same schema`, () => {
    const ids = list.split(" ");
    const database = `upgrade_${ids.length}`;
    makeDatabase(database, ids);
    const query = (sql) => psql(sql, database).filter(Boolean);
    const held = tables(query);
    psql("", database, fill(held, ["t1", "t2"], 3));
    const chained = ids.includes("0051");
    if (!chained) psql(audited, database);
    const rows = (which) => new Map(query(digests(which)).map((line) => [line.split("|")[0], line]));
    const earlier = rows(held);
    for (const [table, line] of earlier) assert.ok(Number(line.split("|")[1]) >= 2, `no rows in ${table}`);

    migrate(database);
    assert.equal(schema(database), schema());
    const later = rows(held);
    for (const [table, line] of earlier) if (!(table in changedOnPurpose)) assert.equal(later.get(table), line, "the rows as they were");
    assert.equal(psql("select count(*) from only intra365.audit_logs_default where at > now() - interval '7 days'", database)[0], "0", "rows are in the partitions of their week");
    if (chained) return;
    const chains = query("select tenant_id, block, entries from intra365.audit_blocks order by 1");
    assert.deepEqual(chains, ["t1|1|503", "t2|1|503"], "what was there before the chain is its first block");
  });
}

test("reports count what the trail holds, in every tenant its own", () => {
  const database = `upgrade_${versions["the ground floor"].split(" ").length}`;
  psql("delete from intra365.audit_logs where user_id <> 'alice'; select intra365.refresh_reports()", database);
  const report = (tenant) => psql(`set role intra365_service; set intra365.tenant = '${tenant}'; select action, outcome, sum(decisions) from intra365.own_decisions_by_day group by 1, 2 order by 1`, database).filter(Boolean);
  assert.deepEqual(report("t1"), ["call|allowed|250", "consent.grant|allowed|250"]);
  assert.deepEqual(report("t3"), []);
  assert.throws(() => psql("set role intra365_service; select * from intra365.decisions_by_day", database), /permission denied/);
  psql("insert into intra365.audit_logs (tenant_id, entry_id, at, source, actor, action, resource, outcome, batch) values ('t1', 'new', now(), 'platform', 'user:alice', 'call', 'mate:bot', 'denied', 0)", database);
  psql("select intra365.refresh_reports()", database);
  assert.ok(report("t1").includes("call|denied|1"));
});

/** What becomes of statements of a service that acts for `tenant`, each undone at once: `rows 3`, or the error's SQLSTATE and words. */
function outcomes(database, tenant, statements) {
  const script = statements.map((sql) => `select replace(public.outcome($statement$${sql}$statement$), E'\\n', ' ');`).join("\n");
  const lines = psql("", database, `set role intra365_service; set intra365.tenant = '${tenant}'; ${script}`).filter(Boolean);
  assert.equal(lines.length, statements.length);
  return lines;
}
const isRefused = (line) => line.startsWith("42501 ");

test("no tenant reaches another's rows, whatever a service asks", () => {
  const database = "walls";
  makeDatabase(database);
  migrate(database);
  psql(`create function public.outcome(statement text) returns text language plpgsql as $$
    declare touched bigint; begin
      execute statement; get diagnostics touched = row_count; raise exception 'rows %', touched using errcode = 'P0001';
    exception when others then return case sqlstate when 'P0001' then sqlerrm else sqlstate || ' ' || sqlerrm end;
    end $$; grant usage on schema public to intra365_service`, database);
  const query = (sql) => psql(sql, database).filter(Boolean);
  const all = tables(query);
  psql("", database, fill(all, ["t1", "t2"], 2));
  const open = query("select relname from pg_class c where relnamespace = 'intra365'::regnamespace and relkind in ('r', 'p') and not relrowsecurity and exists (select from pg_attribute a where a.attrelid = c.oid and attname = 'tenant_id' and not attisdropped)");
  assert.deepEqual(open, ["tenants"], "the list of tenants is the platform's own");

  const closed = []; // to services altogether: stricter still
  const walled = all.filter(({ name, tenants }) => tenants && name !== "tenants");
  assert.ok(walled.length > 40);
  for (const table of walled) {
    const of = (tenant) => `from intra365.${table.name} where tenant_id = '${tenant}'`;
    assert.ok(Number(query(`select count(*) ${of("t1")}`)[0]) > 0 && Number(query(`select count(*) ${of("t2")}`)[0]) > 0, `${table.name} has rows of both`);
    const [own, theirs, added, changed, removed, moved] = outcomes(database, "t1", [
      `select ${of("t1")}`,
      `select ${of("t2")}`,
      insert(table, "t2", 7),
      `update intra365.${table.name} set tenant_id = tenant_id where tenant_id = 't2'`,
      `delete ${of("t2")}`,
      `update intra365.${table.name} set tenant_id = 't2' where tenant_id = 't1'`,
    ]);
    if (isRefused(own)) closed.push(table.name);
    else assert.match(own, /^rows [1-9]/, `${table.name}: its own`);
    assert.ok(theirs === "rows 0" || isRefused(theirs), `${table.name}: select gives ${theirs}`);
    assert.ok(isRefused(added), `${table.name}: insert gives ${added}`);
    assert.ok(changed === "rows 0" || isRefused(changed), `${table.name}: update gives ${changed}`);
    assert.ok(removed === "rows 0" || isRefused(removed), `${table.name}: delete gives ${removed}`);
    assert.ok(isRefused(moved), `${table.name}: moving gives ${moved}`);
    const [nobodys] = outcomes(database, "", [`select from intra365.${table.name}`]);
    assert.ok(nobodys === "rows 0" || isRefused(nobodys), `${table.name}: without a tenant ${nobodys}`);
  }
  assert.deepEqual(closed, []);
  for (const part of query("select relname from pg_class where relnamespace = 'intra365'::regnamespace and relispartition and relkind = 'r'"))
    if (!part.endsWith("_default")) assert.ok(isRefused(outcomes(database, "t1", [`select from intra365.${part}`])[0]), `${part} is reached through its table only`);
});

test("functions that work as their owner are for one tenant, or say that they are for every one", () => {
  const query = (sql) => psql(sql, "walls").filter(Boolean);
  const refused = {
    add_revocation: "select * from intra365.add_revocation('t2', null, 'user:p-t2-1', now(), 'x')",
    append_audit: [
      "select intra365.append_audit(array['t1', 't2'], array['x', 'y'], array[now(), now()], array['s', 's'], array['a', 'a'], array['x', 'x'], array['r', 'r'], array['allowed', 'allowed'], array[null, null], array[null, null], array[null, null], array[null, null], array['{}', '{}'], array[null, null], array[1, 1]::bigint[], array[1, 1]::bigint[])",
      `select intra365.append_audit('[{"tenant": "t2", "entry": {"entryId": "x", "at": "2026-01-01T00:00:00Z", "source": "s", "actor": "a", "action": "x", "resource": "r", "outcome": "allowed"}}]')`,
    ],
    confirm_consents: "select intra365.confirm_consents(array['t2'], array['p-t2-1'], array['i'], array[9]::bigint[])",
    told_consents: "select intra365.told_consents(array['t2'], array['consent_id-t2-1'], array[1]::bigint[])",
    export_person: "select intra365.export_person('t2', 'p-t2-1', 'users', null, 1)",
    erase_rows: "select intra365.erase_rows('t2', 'p-t2-1', 'erased-' || md5('x'), 'e', 'users', null, 1)",
    is_named: "select intra365.is_named('t2', 'p-t2-1', true)",
    values_to_seal: "select intra365.values_to_seal('t2', 'users', 'display_name', 'x', '', 1)",
    seal_value: "select intra365.seal_value('t2', 'users', 'display_name', 'p-t2-1', 'x', 'sealed:1:x', null)",
    destroy_keys: "select intra365.destroy_keys('t2')",
  };
  const forEvery = query("select proname from pg_proc p where pronamespace = 'intra365'::regnamespace and prosecdef and has_function_privilege('intra365_service', p.oid, 'execute') and coalesce(obj_description(p.oid), '') like 'For every tenant: %'");
  const asOwner = query("select distinct proname from pg_proc p where pronamespace = 'intra365'::regnamespace and prosecdef and has_function_privilege('intra365_service', p.oid, 'execute') order by 1");
  assert.deepEqual(asOwner.filter((name) => !(name in refused) && !forEvery.includes(name)), [], "say in a comment that it is for every tenant, or try it here");
  assert.deepEqual(forEvery.filter((name) => name in refused), []);
  for (const [name, statements] of Object.entries(refused))
    for (const [i, line] of outcomes("walls", "t1", [statements].flat()).entries()) assert.ok(isRefused(line), `${name} ${i}: ${line}`);
  // Who acts for the platform may; who acts for the tenant may, for it.
  for (const tenant of ["", "t2"]) assert.match(outcomes("walls", tenant, [refused.add_revocation])[0], /^rows 1/);
});
