// The audit trail, from outside: nothing of it can be changed unnoticed, it can be searched, and it goes when its
// time is over, except what a legal hold keeps.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { Platform, binaries, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let admin, alice, bob;

function psql(sql) {
  return execFileSync("psql", [platform.endpoints.postgres, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", sql], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).split("\n").filter(Boolean);
}
/** The whole chain, page by page. */
async function verify(more = {}) {
  const all = { intact: true, problems: [], entries: 0, retiredBlocks: 0 };
  for (let page = { nextBlock: 1 }; page.nextBlock; ) {
    page = (await request(admin, "intra365.audit.verify", { ...(page.nextBlock > 1 ? {} : more), fromBlock: page.nextBlock })).reply;
    assert.equal(page.error, undefined);
    all.intact &&= page.intact;
    all.problems.push(...page.problems);
    all.entries += page.entries;
    all.retiredBlocks += page.retiredBlocks;
    all.head = page.head || all.head;
  }
  return all;
}
/** Runs `body` while nothing is appended to the trail: entries wait in their stream. */
async function standing(body) {
  const append = psql("select oid::regprocedure from pg_proc where proname = 'append_audit' and pronargs > 1")[0];
  await settled();
  psql(`revoke execute on function ${append} from intra365_service`);
  try {
    await body();
  } finally {
    psql(`grant execute on function ${append} to intra365_service`);
  }
  await settled();
}
const codes = (reply) => reply.problems.map((problem) => problem.code).sort();
/** The trail once it holds an entry that was just made; what was made before it is there, too. */
async function settled() {
  const { trace } = await mark();
  await eventually("the entry", async () => (await request(admin, "intra365.audit.query", { traceId: trace })).reply.entries.length > 0);
}
async function mark() {
  const trace = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  await request(bob, "intra365.consent.query", { userId: "bob" }, { traceparent: `00-${trace}-00f067aa0ba902b7-01` });
  return { trace };
}

/** What the partitions' keeper does when it is that much later, step by step as the service does; at most so many. */
function maintain(later, steps = 1000) {
  const done = [];
  for (const busy = []; done.length < steps; ) {
    const [line] = psql(`select action || ' ' || partition_name from intra365.partition_step_at(now() + interval '${later}', '{${busy}}')`);
    if (!line) break;
    if (line.startsWith("busy ")) busy.push(line.slice(5));
    done.push(line);
  }
  return done;
}
/** Another session whose transaction stays open until `end()`; ready once `sql` has run in it. */
async function open(sql) {
  const session = spawn("psql", [platform.endpoints.postgres, "-qAtX", "-v", "ON_ERROR_STOP=1"], { stdio: ["pipe", "pipe", "pipe"] });
  let said = "";
  for (const stream of [session.stdout, session.stderr]) stream.on("data", (chunk) => (said += chunk));
  const gone = new Promise((done) => session.on("exit", done));
  session.stdin.write(`begin; ${sql}; \\echo ready\n`);
  await eventually("the session", () => {
    assert.equal(session.exitCode, null, said);
    return said.includes("ready");
  });
  return { said, end: async () => { session.stdin.end("rollback;\n"); await gone; } };
}

before(async () => {
  await platform.start();
  admin = await logIn(platform, platform.adminKey);
  alice = await logIn(platform, platform.cli("user", "create", "alice").apiKey);
  bob = await logIn(platform, platform.cli("user", "create", "bob").apiKey);
  platform.cli("mate", "create", "assistant");
  for (const [user, session] of [["alice", alice], ["bob", bob]])
    await request(session, "intra365.consent.grant", { userId: user, mateId: "assistant", purposes: ["analytics"], scopes: ["profile.read"] });
  await settled();
});

after(async () => {
  for (const session of [admin, alice, bob]) await session?.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("the chain of a trail that nobody touched is intact", async () => {
  const done = spawnSync(join(binaries, "intra365"), ["--data", platform.data, "audit", "verify"], { encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stdout, /^\d+ entries in \d+ blocks are what was recorded\nhead [0-9a-f]{64}\n$/);
  const reply = await verify();
  assert.equal(reply.intact, true);
  assert.ok(reply.entries >= 5);
  await settled();
  assert.equal((await verify({ head: reply.head })).intact, true, "a head noted earlier stays in the chain");
});

test("an entry that is changed, removed or slipped in is noticed, and where", async () => {
  const [row] = psql("select at::text || '|' || entry_id || '|' || batch from intra365.audit_logs where action = 'consent.grant' order by at limit 1");
  const [at, id, batch] = row.split("|");
  const block = Number(psql(`select block from intra365.audit_blocks where tenant_id = 'default' and batch = ${batch}`)[0]);
  const where = `tenant_id = 'default' and at = '${at}' and entry_id = '${id}'`;
  const tampered = async (change, undo, expected, expectedBlock) => {
    psql(change);
    const done = spawnSync(join(binaries, "intra365"), ["--data", platform.data, "audit", "verify"], { encoding: "utf8" });
    const reply = await verify();
    psql(undo);
    assert.deepEqual(codes(reply), expected, change);
    assert.equal(reply.problems[0].block, expectedBlock);
    assert.equal(done.status, 1);
    assert.match(done.stdout, /are NOT what was recorded/);
  };
  await tampered(`update intra365.audit_logs set actor = 'user:mallory' where ${where}`, `update intra365.audit_logs set actor = 'user:alice' where ${where}`, ["entries_altered"], block);
  await tampered(`update intra365.audit_logs set code = '' where ${where}`, `update intra365.audit_logs set code = null where ${where}`, ["entries_altered"], block);
  psql("create table public.aside as select * from intra365.audit_logs where false");
  await tampered(
    `with gone as (delete from intra365.audit_logs where ${where} returning *) insert into public.aside select * from gone`,
    "insert into intra365.audit_logs select * from public.aside",
    ["entries_altered"],
    block,
  );
  const slip = (into) => `insert into intra365.audit_logs (tenant_id, entry_id, at, source, actor, action, resource, outcome, batch) values ('default', 'slipped', now() - interval '3 days', 'platform', 'user:alice', 'x', 'x', 'allowed', ${into})`;
  const unslip = "delete from intra365.audit_logs where entry_id = 'slipped'";
  await tampered(slip(batch), unslip, ["entries_altered"], block);
  await tampered(slip(-1), unslip, ["entries_slipped_in"], 0);
  assert.deepEqual((await verify()).problems, [], "all of it was undone");
});

test("a block that is changed or removed is noticed; a chain written anew does not contain a head that was noted", () => standing(async () => {
  const { head } = await verify();
  psql("create table public.blocks as select * from intra365.audit_blocks; create table public.heads as select * from intra365.audit_heads");
  const restore = "delete from intra365.audit_blocks; insert into intra365.audit_blocks select * from public.blocks; delete from intra365.audit_heads; insert into intra365.audit_heads select * from public.heads";
  const tampered = async (change, expected, more) => {
    psql(change);
    const reply = await verify(more);
    psql(restore);
    assert.deepEqual([...new Set(codes(reply))], expected, change);
  };
  await tampered("update intra365.audit_blocks set entries = entries + 1 where tenant_id = 'default' and block = 2", ["block_altered"]);
  await tampered("delete from intra365.audit_blocks where tenant_id = 'default' and block = 2", ["block_missing", "entries_slipped_in"]);
  await tampered("delete from intra365.audit_blocks where tenant_id = 'default' and block = (select block from intra365.audit_heads where tenant_id = 'default')", ["entries_slipped_in", "head_altered"]);
  // Somebody who may do everything removes the end of the trail and its chain: only who noted the head sees it.
  const last = "(select max(block) from intra365.audit_blocks where tenant_id = 'default')";
  psql(`create table public.entries as select * from intra365.audit_logs where batch = (select batch from intra365.audit_blocks where tenant_id = 'default' and block = ${last})`);
  const cut = `delete from intra365.audit_logs where batch in (select batch from public.entries); delete from intra365.audit_blocks where tenant_id = 'default' and block = ${last};
    update intra365.audit_heads h set block = b.block, hash = b.hash from intra365.audit_blocks b where h.tenant_id = 'default' and b.tenant_id = 'default' and b.block = ${last}`;
  psql(cut);
  assert.equal((await verify()).intact, true);
  assert.deepEqual(codes(await verify({ head })), ["head_unknown"]);
  psql(`${restore}; insert into intra365.audit_logs select * from public.entries`);
  assert.equal((await verify({ head })).intact, true);
}));

test("the report says how often what was decided, to the tenant's operator", async () => {
  psql("select intra365.refresh_reports()");
  const { reply } = await request(admin, "intra365.audit.report", {});
  const grants = reply.days.filter((day) => day.action === "consent.grant");
  assert.deepEqual(grants.map(({ day, outcome, decisions }) => [day, outcome, decisions]), [[new Date().toISOString().slice(0, 10), "allowed", 2]]);
  assert.ok(grants[0].slowestUs > 0 && grants[0].durationUs >= grants[0].slowestUs);
  assert.deepEqual((await request(admin, "intra365.audit.report", { until: "2020-01-01" })).reply.days, []);
  assert.equal((await request(admin, "intra365.audit.report", { since: "2020-1-1" })).error, "request.bad_value");
});

test("services may add to the trail by its function alone", () => {
  for (const sql of ["insert into intra365.audit_logs select * from intra365.audit_logs limit 1", "update intra365.audit_logs set actor = 'x'", "delete from intra365.audit_logs", "update intra365.audit_blocks set entries = 0", "select intra365.partition_step_at(now() + interval '10 years', '{}')", "select intra365.make_partition('audit_logs', now(), now())"])
    assert.throws(() => psql(`set role intra365_service; set intra365.tenant = 'default'; ${sql}`), /permission denied/, sql);
});

test("entries are found by the words in them", async () => {
  const found = async (text, who = admin) => (await request(who, "intra365.audit.query", { text })).reply.entries;
  assert.equal((await found("consent.grant")).length, 2);
  assert.ok((await found("consent grant")).every((entry) => entry.action === "consent.grant"));
  assert.equal((await found("grant assistant")).length + (await found("grant -assistant")).length, (await found("grant")).length);
  assert.ok((await found("alice or bob")).length >= 2);
  assert.deepEqual(await found("nothing-of-the-kind"), []);
  assert.ok((await found("alice", bob)).every((entry) => entry.actor === "user:bob" || entry.userId === "bob"), "a person finds their own only");
});

/** Messages as the platform's own processes publish them. */
async function publish(...messages) {
  const creds = readFileSync(join(platform.data, "keys", "platform.creds"));
  const inside = await connect({ servers: platform.endpoints.nats, authenticator: credsAuthenticator(creds) });
  for (const message of messages) inside.publish("platform.audit", message instanceof Uint8Array ? message : JSON.stringify(message));
  await inside.flush();
  await inside.close();
}
const recordOf = (tenant, entryId, more = {}) => ({ tenant, entry: { entryId, at: new Date().toISOString(), source: "platform", actor: "user:bob", action: "x.y", resource: "operation:x.y", outcome: "allowed", scopes: [], count: 1, ...more } });
const inTrail = (tenant) => psql(`select entry_id from intra365.audit_logs where tenant_id = '${tenant}' and action = 'x.y' order by 1`);

test("a message that nobody can read is set aside, and what stands behind it is stored", async () => {
  await publish([{ not: "a record" }], new Uint8Array([0xff, 0, 0x62, 0x6f, 0x62]));
  await settled();
  await eventually("both to be set aside", () => psql("select count(*) from intra365.system_events where type = 'audit.set_aside'")[0] === "2");
  const rows = psql("select message || '|' || coalesce(details ->> 'bytes', '') from intra365.system_events where type = 'audit.set_aside' order by message").map((row) => row.split("|"));
  assert.deepEqual(rows, [['{"not":"a record"}', ""], ["\ufffd\ufffdbob", Buffer.from([0xff, 0, 0x62, 0x6f, 0x62]).toString("base64")]], "legible, and as it was");
  assert.equal((await verify()).intact, true);
});

test("an entry that the database refuses is set aside alone, its tenant sees it, and it can be brought back", async () => {
  const other = platform.cli("tenant", "create", "elsewhere").apiKey;
  const setAside = (...args) => platform.cli("audit", "set-aside", ...args);
  const trace = "f".repeat(32);
  psql(`alter table intra365.audit_logs add constraint broken check (trace_id <> '${trace}') not valid`);
  await publish(
    [recordOf("elsewhere", "of-others-1"), recordOf("default", "refused", { userId: "bob", traceId: trace }), recordOf("elsewhere", "of-others-2"), { tenant: "default", entry: { entryId: "half" } }, recordOf("default", "zero", { code: "a\0b", resource: "doc:\0" })],
    [recordOf("elsewhere", "behind-it")],
  );
  await eventually("all others in the trail", () => inTrail("elsewhere").length === 3 && inTrail("default").includes("zero"));
  assert.deepEqual(psql("select resource, code from intra365.audit_logs where entry_id = 'zero'"), ["doc:\ufffd|a\ufffdb"]);
  const kept = await eventually("both to be set aside", () => ((reply) => reply.total === 2 && reply.entries)(setAside("list")));
  const refused = kept.find((one) => one.entry.includes("refused"));
  assert.match(refused.reason, /postgres\.check_violation.*broken/);
  assert.equal(JSON.parse(refused.entry).userId, "bob");
  assert.match(kept.find((one) => one.entry.includes("half")).reason, /request\.missing_field/);
  assert.deepEqual(platform.cliAs(other, "audit", "set-aside", "list"), { entries: [], total: 0 }, "another tenant's are its own");
  await assert.rejects(request(bob, "intra365.audit.set_aside.list", {}), /Permissions Violation|auth\.forbidden|denied/);

  assert.deepEqual(setAside("retry"), { stored: 0, left: 2 }, "what refused it has not changed");
  psql("alter table intra365.audit_logs drop constraint broken");
  assert.deepEqual(setAside("retry", refused.setAsideId), { stored: 1, left: 1 });
  assert.deepEqual(inTrail("default"), ["refused", "zero"]);
  assert.equal((await request(admin, "intra365.audit.set_aside.retry", { setAsideId: refused.setAsideId })).error, "audit.unknown_set_aside");
  assert.equal((await verify()).intact, true);
  psql("delete from intra365.audit_set_aside");
});

/** The platform's Mate `name`, and how it records an entry of its own enforcement. */
async function recorder(name) {
  const session = await logIn(platform, platform.cli("mate", "create", name).apiKey);
  const entry = (more) => ({ entryId: crypto.randomUUID(), at: new Date().toISOString(), actor: "mate:assistant", action: "call", resource: `mate:${name}/a/b`, outcome: "allowed", ...more });
  const record = async (...entries) => await request(session, "intra365.audit.append", { entries: entries.map(entry) });
  return { session, record };
}

test("what a Mate records has no zero bytes, and numbers that can be added up", async () => {
  const { session, record } = await recorder("counter");
  for (const wrong of [{ code: "a\0" }, { traceId: "\0" }, { resource: "mate:counter/\0" }, { count: 0 }, { count: 1_000_000_001 }, { count: 2 ** 63 }, { durationUs: -1 }, { durationUs: 2 ** 62 }])
    assert.equal((await record(wrong)).error, "request.bad_value", JSON.stringify(wrong));
  const most = { action: "data.access", outcome: "failed", count: 1_000_000_000, durationUs: 7 * 24 * 3600 * 1e6 };
  assert.equal((await record(...Array(400).fill(most))).reply.accepted, 400);
  await eventually("them in the trail", () => psql("select count(*) from intra365.audit_logs where source = 'mate:counter'")[0] === "400");
  psql("select intra365.refresh_reports()");
  const [day] = (await request(admin, "intra365.audit.report", {})).reply.days.filter((one) => one.outcome === "failed" && one.action === "data.access");
  assert.deepEqual([day.decisions, day.slowestUs], [400e9, most.durationUs]);
  assert.ok(day.durationUs >= 2 ** 62, "as much as can be said");
  for (const bad of ["count = 0", "count = 1000000001", "duration_us = -1"])
    assert.throws(() => psql(`update intra365.audit_logs set ${bad} where source = 'mate:counter'`), /violates check constraint/, bad);
  await session.connection.close();
});

test("a Mate sees what concerns itself, not a Mate whose name its own would match as a pattern", async () => {
  const one = await recorder("image-analyzer"), other = await recorder("image_analyzer");
  await one.record({});
  await eventually("the entry", async () => (await request(admin, "intra365.audit.query", { text: "image-analyzer" })).reply.entries.some((entry) => entry.source === "mate:image-analyzer"));
  const seen = async (who) => (await request(who.session, "intra365.audit.query", { action: "call" })).reply.entries.map((entry) => entry.source);
  assert.deepEqual(await seen(one), ["mate:image-analyzer"]);
  assert.deepEqual(await seen(other), []);
  for (const { session } of [one, other]) await session.connection.close();
});

test("a Mate cannot speak for others, and what it records says that it was the one", async () => {
  const { session, record } = await recorder("forger");
  const redaction = { actor: "service:privacy", action: "privacy.redact", resource: "erasure:invented:1:x" };
  for (const forged of [redaction, { action: "consent.grant" }, { actor: "service:privacy" }, { resource: "mate:assistant/bank/read" }, { resource: "mate:forger-2/a" }, { outcome: "perhaps" }])
    assert.equal((await record(forged)).error, "request.bad_value", JSON.stringify(forged));
  await record({ userId: "alice", source: "platform" });
  const told = await eventually("the access", async () => (await request(alice, "intra365.privacy.access", { userId: "alice" })).reply.entries.find((entry) => entry.resource === "mate:forger/a/b"));
  assert.equal(told.recordedBy, "mate:forger");
  // Recorded by a version that let it through: it tells nothing of a redaction.
  psql(`insert into intra365.audit_redactions (tenant_id, at, entry_id, erasure_id, sweep, recorded, redacted)
        select tenant_id, at, entry_id, 'invented', 1, intra365.audit_digest(a), intra365.audit_digest(a) from intra365.audit_logs a where tenant_id = 'default' limit 1`);
  const tell = (source) => psql(`select intra365.append_audit(jsonb_build_array(jsonb_build_object('tenant', 'default', 'entry', jsonb_build_object('entryId', 'redact-${source}', 'at', now(), 'source', '${source}', 'actor', 'service:privacy',
        'action', 'privacy.redact', 'resource', 'erasure:invented:1:' || intra365.redaction_digest('default', 'invented', 1), 'outcome', 'allowed', 'scopes', jsonb_build_array()))))`);
  tell("mate:forger");
  assert.deepEqual(codes(await verify()), ["redaction_unknown"]);
  tell("platform");
  assert.deepEqual(codes(await verify()), []);
  psql("delete from intra365.audit_redactions where erasure_id = 'invented'");
  await session.connection.close();
});

test("a long chain is verified page by page, and each page finds what was slipped into its time", { timeout: 120_000 }, async () => {
  const operator = await logIn(platform, platform.cli("tenant", "create", "long").apiKey);
  const append = (count, first) => psql(`do $$ begin for n in ${first}..${first + count - 1} loop perform intra365.append_audit(jsonb_build_array(jsonb_build_object('tenant', 'long', 'entry', jsonb_build_object(
      'entryId', 'e' || n, 'at', now() - interval '3 days' + make_interval(secs => n) - case when n % 7 = 0 then interval '5 days' else interval '0' end, 'source', 'platform', 'actor', 'user:x', 'action', 'x', 'resource', 'x', 'outcome', 'allowed', 'scopes', jsonb_build_array())))); end loop; end $$`);
  for (let first = 1; first <= 10_500; first += 1500) append(1500, first);
  const pages = async () => {
    const found = [];
    for (let from = 1; from; ) {
      const { reply } = await request(operator, "intra365.audit.verify", { fromBlock: from });
      assert.equal(reply.intact, reply.problems.length === 0);
      found.push(reply.problems.map(({ code, detail }) => `${code} ${detail}`));
      from = reply.nextBlock;
    }
    return found;
  };
  await eventually("the operator's own entries", () => Number(psql("select block from intra365.audit_heads where tenant_id = 'long'")[0]) > 10_500);
  assert.deepEqual(await pages(), [[], [], []]);
  const slip = (id, at) => psql(`insert into intra365.audit_logs (tenant_id, entry_id, at, source, actor, action, resource, outcome, batch) values ('long', '${id}', ${at}, 'platform', 'user:x', 'x', 'x', 'allowed', -1)`);
  const at = (n) => `now() - interval '3 days' + interval '${n} s'`;
  for (const [id, time] of [["before", "'-infinity'"], ["late", `${at(3000)} - interval '5 days'`], ["first", at(2000)], ["second", at(7000)], ["second-2", at(7001)], ["third", at(10_200)], ["after", "'infinity'"]]) slip(id, time);
  const told = (n) => [`entries_slipped_in ${n} entries belong to no block.`];
  assert.deepEqual(await pages(), [told(3), told(2), told(2)]);
  psql("delete from intra365.audit_logs where tenant_id = 'long' and batch = -1");
  assert.deepEqual(await pages(), [[], [], []]);
  await operator.connection.close();
});

test("an entry whose time cannot be right is refused", async () => {
  const assistant = await logIn(platform, platform.cli("mate", "create", "clock").apiKey);
  const entry = (at) => ({ entries: [{ entryId: crypto.randomUUID(), at, actor: "mate:clock", action: "call", resource: "mate:clock/x", outcome: "allowed" }] });
  for (const at of ["2001-01-01T00:00:00Z", "2999-01-01T00:00:00Z"])
    assert.equal((await request(assistant, "intra365.audit.append", entry(at))).error, "request.bad_value");
  const { reply } = await request(assistant, "intra365.audit.append", entry(new Date().toISOString()));
  assert.equal(reply.accepted, 1);
  await assistant.connection.close();
});

test("a Mate cannot make the entries of others vanish by repeating an id", async () => {
  const assistant = await logIn(platform, platform.cli("mate", "create", "repeater").apiKey);
  const entryId = crypto.randomUUID();
  const at = new Date().toISOString();
  const entry = (id, resource) => ({ entryId: id, at, actor: "mate:repeater", action: "call", resource: `mate:repeater/${resource}`, outcome: "allowed" });
  await request(assistant, "intra365.audit.append", { entries: [entry(entryId, "first")] });
  await request(assistant, "intra365.audit.append", { entries: [entry(entryId, "first"), entry(crypto.randomUUID(), "behind-it")] });
  await eventually("the entry behind the repeated one", async () => (await request(admin, "intra365.audit.query", { text: "behind-it" })).reply.entries.length === 1);
  assert.equal(psql(`select count(*) from intra365.audit_logs where entry_id = '${entryId}'`)[0], "1", "and the repeated one is there once");
  await assistant.connection.close();
});

test("what reports are made of goes when its time is over", () => {
  const hours = () => psql("select tenant_id from intra365.metrics_aggregates where tenant_id like 'aged-%' order by 1");
  psql(`insert into intra365.metrics_aggregates (tenant_id, metric, at, labels, count) values ('aged-1', 'decisions_us', now() - interval '790 days', '{}', 1), ('aged-2', 'decisions_us', now() - interval '810 days', '{}', 1)`);
  psql("select intra365.maintain_partitions()");
  assert.deepEqual(hours(), ["aged-1"]);
  psql("delete from intra365.metrics_aggregates where tenant_id like 'aged-%'");
});

test("when its time is over an entry goes, except what a legal hold keeps; the chain says which blocks it no longer sees", async () => {
  await settled();
  const count = (who) => Number(psql(`select count(*) from intra365.audit_logs where actor = 'user:${who}'`)[0]);
  assert.ok(count("alice") > 0 && count("bob") > 0);
  const { hold } = (await request(admin, "intra365.audit.hold.place", { reason: "case 4711", userId: "alice" })).reply;
  await assert.rejects(request(bob, "intra365.audit.hold.place", { reason: "mine" }), /Permissions Violation|auth\.forbidden|denied/);
  psql("update intra365.partition_policies set keep = '1 day'");
  // What was done for her, what she did, and what names her.
  await request(alice, "intra365.consent.query", { userId: "alice" });
  await settled();
  const hers = "(user_id = 'alice' or actor = 'user:alice' or resource ~ '\\malice\\M')";
  const kept = Number(psql(`select count(*) from intra365.audit_logs where ${hers}`)[0]);
  const actedAlone = Number(psql("select count(*) from intra365.audit_logs where actor = 'user:alice' and user_id is null")[0]);
  assert.ok(kept > 0 && actedAlone > 0);
  const done = maintain("9 days");
  assert.ok(done.some((line) => /^trimmed audit_logs_\d{8}$/.test(line)), done.join());
  assert.equal(count("bob"), 0);
  assert.equal(Number(psql(`select count(*) from intra365.audit_logs where ${hers}`)[0]), kept);
  assert.equal(Number(psql("select count(*) from intra365.audit_logs where actor = 'user:alice' and user_id is null")[0]), actedAlone);
  assert.deepEqual(maintain("9 days"), [], "once is enough");

  const reply = await verify();
  assert.equal(reply.intact, true, JSON.stringify(reply.problems));
  assert.ok(reply.retiredBlocks > 0);
  // What is said to be of a block that nobody can look into any more has to be of its time, too.
  psql(`insert into intra365.audit_logs (tenant_id, entry_id, at, source, actor, action, resource, outcome, batch)
        select 'default', 'slipped', now() + interval '100 days', 'platform', 'user:alice', 'x', 'x', 'allowed', batch from intra365.audit_blocks where tenant_id = 'default' and block = 1`);
  assert.deepEqual(codes(await verify()), ["entries_slipped_in"]);
  psql("delete from intra365.audit_logs where entry_id = 'slipped'");

  const released = (await request(admin, "intra365.audit.hold.release", { holdId: hold.holdId })).reply.hold;
  assert.ok(released.releasedAt);
  assert.equal((await request(admin, "intra365.audit.hold.release", { holdId: hold.holdId })).error, "audit.unknown_hold");
  assert.ok(maintain("9 days").some((line) => /^retired audit_logs_/.test(line)));
  assert.equal(Number(psql("select count(*) from intra365.audit_logs where user_id = 'alice'")[0]), 0);
  await settled();
  assert.equal((await verify()).intact, true, "new entries found a place");
});

test("closed partitions get their search index, one at a time, and keep nobody waiting for it", async () => {
  psql("update intra365.partition_policies set keep = null");
  const append = `select intra365.append_audit(array['default'], array[gen_random_uuid()::text], array[now()], array['platform'], array['user:bob'], array['call'], array['x'], array['allowed'], array[null], array['bob'], array[null], array[null], array['{}'], array[null], array[1::bigint], array[1::bigint])`;
  assert.ok(maintain("45 days").filter((line) => line.startsWith("made ")).length > 0);
  psql("update intra365.partitions set indexed_at = null; do $$ declare i record; begin for i in select indexname from pg_indexes where indexname ~ '_closed_\\d$' loop execute 'drop index intra365.' || i.indexname; end loop; end $$");
  const building = await open("select action from intra365.partition_step_at(now() + interval '45 days', '{}')");
  assert.match(building.said, /indexed/);
  psql(`set lock_timeout = '1s'; set role intra365_service; ${append}; set intra365.tenant = 'default'; select count(*) from intra365.audit_logs`);
  await building.end();
  const done = maintain("45 days");
  assert.ok(done.filter((line) => line.startsWith("indexed audit_logs_")).length >= 2, done.join());
  assert.ok(Number(psql("select count(*) from pg_indexes where schemaname = 'intra365' and indexdef like '%gin (intra365.audit_words%'")[0]) > 0);
  assert.ok(Number(psql("select count(*) from pg_indexes where schemaname = 'intra365' and tablename like 'audit_logs_%' and indexdef like '%btree (tenant_id, batch)'")[0]) > 0, "and the one that leads to a tenant's blocks");
});

test("partitions are made ahead first, and nobody waits while they cannot be", async () => {
  psql("update intra365.partition_policies set ahead = ahead + 1 where table_name = 'audit_logs'");
  psql("update intra365.partition_policies set keep = '1 day' where table_name = 'data_access_logs'");
  assert.match(maintain("52 days", 1)[0], /^made /);
  psql("update intra365.partition_policies set ahead = ahead + 1 where table_name = 'audit_logs'");
  // Somebody reads for long.
  const reading = await open("select count(*) from intra365.audit_logs");
  const step = spawn("psql", [platform.endpoints.postgres, "-qAtX", "-c", "select action || ' ' || partition_name from intra365.partition_step_at(now() + interval '52 days', '{}')"], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  step.stdout.on("data", (chunk) => (said += chunk));
  const stepped = new Promise((ended) => step.on("exit", ended));
  await eventually("the step to wait", () => psql("select count(*) from pg_locks where not granted and relation = 'intra365.audit_logs_default'::regclass")[0] !== "0");
  psql("set lock_timeout = '5s'; select count(*) from intra365.audit_logs"); // behind it in the queue
  await stepped;
  assert.equal(said.trim(), "busy audit_logs");
  const rest = maintain("52 days");
  assert.ok(rest.includes("busy audit_logs") && rest.some((line) => line.startsWith("retired data_access_logs_")), `the rest goes on: ${rest}`);
  await reading.end();
  assert.match(maintain("52 days", 1)[0], /^made audit_logs_/);
});
