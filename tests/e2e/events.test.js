// Events and change data capture, from outside: what is committed is told, once, to whom it concerns.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Platform, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let admin, alice, bob, assistant;
const heard = { admin: [], assistant: [], other: [] };

function listen(session, into) {
  session.connection.subscribe("intra365.events.>", { callback: (error, message) => into.push(error ? { error: String(error) } : { subject: message.subject, at: Date.now(), ...message.json() }) });
}

before(async () => {
  await platform.start();
  admin = await logIn(platform, platform.adminKey);
  alice = await logIn(platform, platform.cli("user", "create", "alice").apiKey);
  assistant = await logIn(platform, platform.cli("mate", "create", "assistant").apiKey);
  const tenant = (await request(admin, "intra365.auth.tenant.create", { name: "elsewhere" })).reply;
  bob = await logIn(platform, tenant.apiKey);
  listen(admin, heard.admin);
  listen(bob, heard.other);
  assistant.connection.subscribe("intra365.events.mate.>", { callback: (_, message) => heard.assistant.push(message.json()) });
  await Promise.all([admin, bob, assistant].map((session) => session.connection.flush()));
});

after(async () => {
  for (const session of [admin, alice, bob, assistant]) await session?.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

/** Runs SQL as the platform's services do, for one tenant, and returns the lines of the result. */
function psql(sql, tenant) {
  const script = tenant === undefined ? sql : `set role intra365_service; set intra365.tenant = '${tenant}'; ${sql}`;
  return execFileSync("psql", [platform.endpoints.postgres, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", script], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).split("\n").filter(Boolean);
}

test("a grant is told once, as a CloudEvent, soon", async () => {
  const begun = Date.now();
  const granted = (await request(alice, "intra365.consent.grant", { userId: "alice", mateId: "assistant", purposes: ["analytics"], scopes: ["profile.read"] })).reply;
  await eventually("the event", () => heard.admin.some((event) => event.type === "intra365.consent.granted"));
  const [event] = heard.admin.filter((event) => event.type === "intra365.consent.granted");
  assert.equal(event.subject, "intra365.events.consent.granted");
  assert.equal(event.specversion, "1.0");
  assert.equal(event.source, "/intra365/default");
  assert.deepEqual(event.data, { consentId: granted.consentId, userId: "alice", mateId: "assistant", epoch: granted.epoch });
  assert.match(event.traceparent, /^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
  assert.ok(event.at - begun < 2000, `it took ${event.at - begun} ms`);
  await request(alice, "intra365.consent.revoke", { consentId: granted.consentId });
  await eventually("the revocation", () => heard.admin.some((event) => event.type === "intra365.consent.revoked"));
  assert.equal(heard.admin.filter((event) => event.type === "intra365.consent.granted").length, 1);
});

test("Mates, policies and tenants are told of, heartbeats are not", async () => {
  const mate = { name: "Assistant", type: "agent", capabilities: ["chat"], version: "1.0.0" };
  await request(assistant, "intra365.registry.register", mate);
  await request(assistant, "intra365.registry.heartbeat", {});
  await request(assistant, "intra365.registry.register", { ...mate, version: "1.1.0" });
  await request(assistant, "intra365.registry.deregister", { mateId: "assistant" });
  const policy = (await request(admin, "intra365.policy.create", { name: "none", type: "access", rules: [{ effect: "deny", subjects: ["mate:nobody"], resources: ["doc:*"], actions: ["read"] }] })).reply;
  const told = () => heard.admin.find((event) => event.type === "intra365.policy.created" && event.data.policyId === policy.policyId);
  await eventually("the policy's event", told);
  assert.deepEqual(
    heard.assistant.map((event) => [event.type, event.data.revision, event.data.capabilities]),
    [["intra365.mate.registered", 1, ["chat"]], ["intra365.mate.updated", 2, ["chat"]], ["intra365.mate.deregistered", 3, []]],
  );
  assert.deepEqual(told().data, { policyId: policy.policyId, version: policy.version, policyEpoch: policy.policyEpoch });
});

test("another tenant hears nothing of it", () => {
  assert.deepEqual(heard.other.filter((event) => event.source !== "/intra365/elsewhere"), []);
});

test("a transaction that is rolled back is told to nobody, one made by hand is", async () => {
  const insert = (user) => `insert into intra365.consent_history (tenant_id, consent_id, user_id, mate_id, event, actor, purposes, scopes, epoch) select tenant_id, consent_id, '${user}', mate_id, 'revoked', 'psql', purposes, scopes, epoch from intra365.consent_records limit 1`;
  psql(`begin; ${insert("ghost")}; rollback; ${insert("by-hand")}`);
  await eventually("the second one", () => heard.admin.some((event) => event.data?.userId === "by-hand"));
  assert.ok(!heard.admin.some((event) => event.data?.userId === "ghost"));
});

test("the change stream's state is for the platform's operator", async () => {
  await eventually("the log to be given up", async () => (await request(admin, "intra365.cdc.status", {})).reply.lagBytes === 0);
  const status = (await request(admin, "intra365.cdc.status", {})).reply;
  assert.equal(status.state, "streaming");
  assert.ok(status.changes > 5 && status.transactions > 0);
  assert.equal(status.snapshots, 1, "the stream was new: it began with what the tables held");
  assert.equal(status.alarm, undefined);
  assert.equal(status.gaps, 0);
  await assert.rejects(request(assistant, "intra365.cdc.status", {}), /Permissions Violation/);
});

test("a slot that nobody reads raises an alarm before the disk is full, and when it lost what it stood for", async () => {
  const slot = async (name = "forgotten") => (await request(admin, "intra365.cdc.status", {})).reply.slots.find((one) => one.slot === name);
  const lines = () => readFileSync(join(platform.data, "logs/intra365.log"), "utf8").split("\n").filter((line) => line.includes('"forgotten"')).map((line) => JSON.parse(line));
  psql("alter system set max_slot_wal_keep_size = '64MB'");
  psql("select pg_reload_conf(); select pg_create_physical_replication_slot('forgotten', true)");
  assert.equal((await slot()).alarm, undefined);
  const write = async () => {
    psql("select count(pg_logical_emit_message(false, 'fill', repeat('x', 1000000))) from generate_series(1, 20)");
    psql("select pg_log_standby_snapshot()"); // else a reader's own slot moves along every 15 s only
    await eventually("the platform's own slot to move along", async () => (await slot("intra365_changes")).retainedBytes < 16 << 20);
  };
  await write();
  await write();
  await eventually("the alarm", async () => (await slot()).alarm === "filling");
  const { active, retainedBytes, limitBytes } = await slot();
  assert.equal(active, false);
  assert.equal(limitBytes, 64 << 20);
  assert.ok(retainedBytes > 32 << 20);
  await eventually("the log's line", () => lines().some((line) => line.state === "filling"));
  await eventually("the metric", async () => /^intra365_postgres_slot_alarms 1$/m.test((await platform.http("GET", "/metrics")).text));
  for (let i = 0; i < 4; ++i) await write();
  psql("checkpoint");
  await eventually("the loss", async () => (await slot()).alarm === "lost");
  psql("select pg_drop_replication_slot('forgotten')");
  psql("alter system reset max_slot_wal_keep_size");
  psql("select pg_reload_conf()");
  const own = await slot("intra365_changes");
  assert.deepEqual([own.active, own.alarm], [true, undefined], "a slot that is read is well");
});
