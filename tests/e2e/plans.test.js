// How PostgreSQL carries out every statement of the services: a lost index, or a statement that has none, is seen in
// the difference. The statements are read from the sources, so none can be forgotten. UPDATE_PLANS=1 writes
// docs/generated/plans.md anew.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Platform, binaries } from "./lib/platform.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const golden = join(root, "docs/generated/plans.md");
const database = "plans";
const platform = new Platform();

function psql(sql, into = database) {
  const url = platform.endpoints.postgres.replace(/\/[^/]*$/, `/${into}`);
  return spawnSync("psql", [url, "-qAtX", "-v", "ON_ERROR_STOP=1", "-f", "-"], { encoding: "utf8", input: sql });
}

/** The text that a row of C++ string literals (and of macros that are one) stands for, and where it ends. */
function text(source, at, macros) {
  let words = "";
  for (;;) {
    const rest = source.slice(at);
    const skip = /^(\s|\/\/[^\n]*\n)+/.exec(rest);
    const raw = /^R"(\w*)\(([^]*?)\)\1"/.exec(rest);
    const plain = /^"((?:[^"\\]|\\.)*)"/.exec(rest);
    const macro = /^[A-Z][A-Z_]+\b/.exec(rest);
    const found = skip ?? raw ?? plain ?? macro;
    if (!found) return [words, at];
    at += found[0].length;
    if (skip) continue;
    if (macro && !raw && !plain) {
      assert.ok(macro[0] in macros, `what is ${macro[0]}?`);
      words += macros[macro[0]];
    } else words += raw ? raw[2] : JSON.parse(`"${plain[1]}"`);
  }
}

/** Every `Query name{"name", "select …"}` of the services, by the name that metrics show. */
function statements() {
  const found = new Map();
  const files = readdirSync(join(root, "src"), { recursive: true }).sort().filter((path) => /^(services|platform)\/.*\.(cpp|hpp)$/.test(path) && !/_test/.test(path));
  let declared = 0;
  for (const path of files) {
    const source = readFileSync(join(root, "src", path), "utf8");
    const macros = {};
    const columns = [...source.matchAll(/^#include "(.*\/columns\.hpp)"/gm)].map(([, header]) => readFileSync(join(root, "src", header), "utf8"));
    for (const [, name, body] of [...columns, source].join("\n").matchAll(/^#define ([A-Z_]+)\s((?:[^\n]*\\\n)*[^\n]*)/gm)) macros[name] = text(body.replaceAll("\\\n", "\n"), 0, macros)[0];
    for (const match of source.matchAll(/\bQuery \w+\{/g)) {
      ++declared;
      const [name, comma] = text(source, match.index + match[0].length, macros);
      if (source[comma] !== ",") continue; // made at run time
      const [sql] = text(source, comma + 1, macros);
      // Two stores may share a name where they ask the same thing in two ways.
      if (sql) found.set(found.has(name) ? `${name} (${path})` : name, { path, sql });
    }
  }
  assert.ok(found.size > 60 && found.size > 0.95 * declared, `${found.size} of ${declared} statements were found`);
  return new Map([...found].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A plan as a tree by its indentation, with subtrees that only repeat the one before left out: partitions. */
function tree(lines) {
  const top = { children: [] };
  const open = [[-1, top]];
  for (const line of lines) {
    const depth = line.search(/\S/);
    while (open.at(-1)[0] >= depth) open.pop();
    const node = { line, children: [] };
    open.at(-1)[1].children.push(node);
    open.push([depth, node]);
  }
  const flat = (node) => [...(node.line === undefined ? [] : [node.line]), ...node.children.map((child) => flat(child).join("\n")).filter((block, i, all) => block !== all[i - 1])];
  return flat(top).join("\n");
}

/** The plan for any parameters, as the services' role sees it; partitions of any week and their numbers look alike. */
function plan(sql) {
  if (!/^\s*(select|insert|update|delete|with|merge)\b/i.test(sql)) return undefined;
  const { status, stdout, stderr } = psql(`set role intra365_service; set search_path = public; set intra365.tenant = 'default'; set enable_seqscan = off; set jit = off;
    set max_parallel_workers_per_gather = 0; explain (generic_plan, costs off) ${sql};`);
  if (status !== 0) return `not planned: ${/ERROR:\s*([^\n]*)/.exec(stderr)?.[1]}`;
  return tree(stdout.trimEnd().split("\n").map((line) => line.replace(/_\d{8}(?=_|\b)/g, "_<week>").replace(/\b([a-z]+(?:_[a-z]+)*)_\d+\b/g, "$1")));
}

before(async () => {
  await platform.start();
  // A database without rows or statistics, so that plans hang on the schema and the statements alone.
  assert.equal(psql(`create database ${database} owner intra365_owner; grant connect on database ${database} to intra365_service`, "intra365").status, 0);
  const password = readFileSync(join(platform.data, "keys/postgres-owner.password"), "utf8").trim();
  const config = join(platform.data, "plans.yaml");
  writeFileSync(config, `postgres:\n  ownerDsn: postgresql://intra365_owner:${password}@${new URL(platform.endpoints.postgres).host}/${database}\n`, { mode: 0o600 });
  execFileSync(join(binaries, "intra365"), ["migrate", "--config", config]);
});

after(async () => {
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("every statement is planned as reviewed", () => {
  const parts = [];
  for (const [name, { path, sql }] of statements()) {
    const how = plan(sql);
    if (how !== undefined) parts.push(`## ${name}\n\n\`${path}\`\n\n\`\`\`\n${how}\n\`\`\`\n`);
  }
  const now = `<!-- Generated: UPDATE_PLANS=1 node --test tests/e2e/plans.test.js -->\n# Plans\n\nHow PostgreSQL carries out each statement, for any parameters, where it may not read whole tables if there is any other\nway. A sequential scan here has no index at all.\n\n${parts.join("\n")}`;
  if (process.env.UPDATE_PLANS) writeFileSync(golden, now);
  assert.equal(now, readFileSync(golden, "utf8"), "look at the difference, then UPDATE_PLANS=1");
  assert.ok(parts.length > 60, `${parts.length} statements`);
  assert.ok(!now.includes("not planned"), now.match(/.*not planned.*/g)?.join("\n"));
});

test("a lost index is seen", () => {
  const { sql } = statements().get("consent_find") ?? [...statements().values()].find(({ sql }) => /from intra365\.consent_records/.test(sql));
  const good = plan(sql);
  assert.match(good, /Index/);
  const dropped = psql("begin; do $$ declare c record; begin for c in select conname from pg_constraint where conrelid = 'intra365.consent_records'::regclass and contype in ('p', 'u') loop execute format('alter table intra365.consent_records drop constraint %I cascade', c.conname); end loop; for c in select indexrelid::regclass as name from pg_index where indrelid = 'intra365.consent_records'::regclass loop execute format('drop index %s', c.name); end loop; end $$; commit");
  assert.equal(dropped.status, 0, dropped.stderr);
  assert.notEqual(plan(sql), good);
  assert.match(plan(sql), /Seq Scan/);
});
