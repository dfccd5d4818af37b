// The database as it stands: the schema is the reviewed one, also after an upgrade from every earlier version with
// data in it, and no row is lost on the way. UPDATE_SCHEMA=1 writes docs/generated/schema.md anew.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Platform, binaries } from "./lib/platform.js";

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

/** Which migrations each earlier version had: new ones are not always the last in order. */
const versions = {
  "the ground floor": ["0001", "0010", "0020", "0030", "0040", "0050"],
  "with events": ["0001", "0002", "0010", "0011", "0020", "0021", "0030", "0031", "0040", "0045", "0050", "0060"],
  "with governed policies": ["0001", "0002", "0010", "0011", "0020", "0021", "0030", "0031", "0040", "0045", "0046", "0047", "0050", "0060"],
};
const data = `
  insert into intra365.tenants (tenant_id, account, account_seed, signing_seed) values ('t1', 'A1', 's', 's'), ('t2', 'A2', 's', 's');
  insert into intra365.principals (tenant_id, principal_id, kind, roles) values ('t1', 'alice', 'user', '{user}'), ('t1', 'bot', 'mate', '{mate}'), ('t2', 'bob', 'user', '{user}');
  insert into intra365.users (tenant_id, user_id, display_name) values ('t1', 'alice', 'Alice'), ('t2', 'bob', 'Bob');
  insert into intra365.mates (tenant_id, mate_id, name, type, version, status) values ('t1', 'bot', 'Bot', 'agent', '1.0.0', 'active');
  insert into intra365.system_events (event_id, type, source) values ('e1', 'start', 'test');
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

for (const [name, ids] of Object.entries(versions)) {
  test(`an upgrade from the version "${name}" keeps its rows and ends in the same schema`, () => {
    const database = `upgrade_${ids.length}`;
    psql(`create database ${database} owner intra365_owner`);
    psql(`grant connect on database ${database} to intra365_service`);
    const earlier = migrations.filter(({ id }) => ids.includes(id.slice(0, 4)));
    assert.equal(earlier.length, ids.length);
    const record = earlier.map(({ id, sql }) => `${sql}\n;insert into intra365.schema_migrations (id, checksum) values ('${id}', '${createHash("sha256").update(sql).digest("hex")}');`);
    psql("", database, `set role intra365_owner; create schema intra365;
      create table intra365.schema_migrations (id text collate "C" primary key, checksum text not null, applied_at timestamptz not null default clock_timestamp());
      grant select on intra365.schema_migrations to public; ${record.join("\n")}`);
    psql(data, database);

    const password = readFileSync(join(platform.data, "keys/postgres-owner.password"), "utf8").trim();
    const url = new URL(platform.endpoints.postgres);
    const config = join(platform.data, "migrate.yaml");
    writeFileSync(config, `postgres:\n  ownerDsn: postgresql://intra365_owner:${password}@${url.host}/${database}\n`, { mode: 0o600 });
    const { status, stderr } = spawnSync(join(binaries, "intra365"), ["migrate", "--config", config], { encoding: "utf8" });
    assert.equal(status, 0, stderr);

    assert.equal(schema(database), schema());
    const counts = psql("select (select count(*) from intra365.users) || ' ' || (select count(*) from intra365.mates) || ' ' || (select count(*) from intra365.audit_logs) || ' ' || (select count(*) from intra365.system_events)", database)[0];
    assert.equal(counts, "2 1 1000 1");
    assert.equal(psql("select count(*) from only intra365.audit_logs_default where at > now() - interval '7 days'", database)[0], "0", "rows are in the partitions of their week");
    const chains = psql("select tenant_id, block, entries from intra365.audit_blocks order by 1", database).filter(Boolean);
    assert.deepEqual(chains, ["t1|1|500", "t2|1|500"], "what was there before the chain is its first block");
  });
}

test("reports count what the trail holds, in every tenant its own", () => {
  const database = `upgrade_${versions["the ground floor"].length}`;
  psql("select intra365.refresh_reports()", database);
  const report = (tenant) => psql(`set role intra365_service; set intra365.tenant = '${tenant}'; select action, outcome, sum(decisions) from intra365.own_decisions_by_day group by 1, 2 order by 1`, database).filter(Boolean);
  assert.deepEqual(report("t1"), ["call|allowed|250", "consent.grant|allowed|250"]);
  assert.deepEqual(report("t3"), []);
  assert.throws(() => psql("set role intra365_service; select * from intra365.decisions_by_day", database), /permission denied/);
  psql("insert into intra365.audit_logs (tenant_id, entry_id, at, source, actor, action, resource, outcome, batch) values ('t1', 'new', now(), 'platform', 'user:alice', 'call', 'mate:bot', 'denied', 0)", database);
  psql("select intra365.refresh_reports()", database);
  assert.ok(report("t1").includes("call|denied|1"));
});
