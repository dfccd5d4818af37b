// The raw change stream for those who may read it: each row once and in order, of their tenant only, from any point in time.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { Platform, binaries, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
const sessions = {}, keys = {};

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-Atc", text], { encoding: "utf8" }).trim();
const changes = async (body, as = "warehouse") => await request(sessions[as], "intra365.cdc.changes", { table: "consent_records", ...body });
const grant = async () => (await request(sessions.alice, "intra365.consent.grant", { userId: "alice", mateId: "assistant", purposes: ["analytics"], scopes: ["profile.read"] })).reply;
/** Everything there is, page by page. */
async function all(body = {}, as) {
  const found = [];
  let { cursor, ...more } = body;
  for (;;) {
    const { reply, error } = await changes(cursor ? { cursor, limit: more.limit } : more, as);
    assert.equal(error, undefined, JSON.stringify(reply));
    found.push(...reply.changes);
    cursor = reply.cursor;
    if (reply.behind === 0) return { found, cursor };
  }
}
const words = (list) => list.filter((one) => one.row).map((one) => `${one.operation} ${one.row.status} ${one.row.granted}`);

before(async () => {
  await platform.start();
  const make = async (name, ...how) => (sessions[name] = await logIn(platform, (keys[name] = platform.cli(...how).apiKey)));
  await make("alice", "user", "create", "alice");
  await make("assistant", "mate", "create", "assistant");
  await make("warehouse", "mate", "create", "warehouse", "--role", "change-reader");
  sessions.admin = await logIn(platform, platform.adminKey);
  const elsewhere = (await request(sessions.admin, "intra365.auth.tenant.create", { name: "elsewhere" })).reply;
  sessions.elsewhere = await logIn(platform, elsewhere.apiKey);
  const spy = (await request(sessions.elsewhere, "intra365.auth.mate.create", { name: "spy", role: "change-reader" })).reply;
  sessions.spy = await logIn(platform, spy.apiKey);
});

after(async () => {
  for (const session of Object.values(sessions)) await session.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("each change of a row comes once, in order, page by page", async () => {
  const first = await grant();
  const second = await grant();
  await request(sessions.alice, "intra365.consent.revoke", { consentId: first.consentId });
  await eventually("the changes", async () => words((await all()).found).length === 3);
  const { found, cursor } = await all({ limit: 1 });
  assert.deepEqual(words(found), ["insert active true", "insert active true", "update revoked false"]);
  assert.deepEqual(found.filter((one) => one.row).map((one) => one.key.consent_id), [first.consentId, second.consentId, first.consentId]);
  assert.equal(new Set(found.map((one) => one.id)).size, found.length);
  assert.equal(found.find((one) => one.row).row.metadata, undefined, "what is not published is not told");

  await request(sessions.alice, "intra365.consent.suspend", { consentId: second.consentId });
  const next = await eventually("the next change", async () => {
    const { reply } = await changes({ cursor, waitMs: 2000 });
    return reply.changes.length > 0 && reply;
  });
  assert.deepEqual(words(next.changes), ["update suspended false"]);
  assert.deepEqual((await changes({ cursor: next.cursor })).reply.changes, []);
});

test("it can be replayed from a point in time", async () => {
  const since = sql("select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')");
  const { consentId } = await grant();
  const replayed = await eventually("the replay", async () => {
    const { found } = await all({ since });
    return words(found).length > 0 && found;
  });
  assert.deepEqual(replayed.filter((one) => one.row).map((one) => one.key.consent_id), [consentId]);
});

test("only who has the role reads, and only their own tenant's rows", async () => {
  for (const name of ["admin", "assistant", "alice"]) {
    // nats-server lets nobody else publish there, so nobody answers.
    await assert.rejects(changes({}, name), /./, name);
    const http = await platform.http("GET", "/v1/changes/consent_records", { token: await platform.token(keys[name] ?? platform.adminKey) });
    assert.deepEqual([http.status, http.json.code], [403, "access.role_required"]);
  }
  const { found } = await all({}, "spy");
  assert.deepEqual(words(found), []);
  const http = await platform.http("GET", "/v1/changes/consent_records?limit=2", { token: await platform.token(keys.warehouse) });
  assert.equal(http.status, 200, http.text);
  assert.equal(http.json.changes.length, 2);
});

test("what cannot be asked for is named", async () => {
  const code = async (body) => (await changes(body)).error;
  assert.equal(await code({ table: "users" }), "changes.unknown_table");
  assert.match((await changes({ table: "users" })).reply.error.message, /consent_records/);
  assert.equal(await code({ table: "consent_records.default" }), "request.bad_value");
  assert.equal(await code({ table: ">" }), "request.bad_value");
  assert.equal(await code({ cursor: "nonsense" }), "changes.bad_cursor");
  assert.equal(await code({ cursor: "1~2020-01-01T00:00:00Z" }), "changes.forgotten");
  for (const wrong of [{ limit: 0 }, { limit: 501 }, { waitMs: 5001 }, { waitMs: -1 }]) assert.equal(await code(wrong), "request.bad_value", JSON.stringify(wrong));
  assert.equal(await code({ cursor: "1~x", since: "2026-01-01T00:00:00Z" }), "request.bad_value");
});

test("no consumer is left in the stream", async () => {
  const inside = await connect({ servers: platform.endpoints.nats, authenticator: credsAuthenticator(readFileSync(join(platform.data, "keys", "platform.creds"))) });
  const manager = await jetstreamManager(inside);
  for (let i = 0; i < 20; ++i) await changes({ limit: 1 });
  const names = [];
  for await (const one of manager.consumers.list("CHANGES")) names.push(one.name);
  assert.ok(names.length < 5, names.join());
  await inside.close();
});

test("a stream that was made anew says that everything is to be read again, and gives it", async () => {
  const { cursor } = await all();
  const inside = await connect({ servers: platform.endpoints.nats, authenticator: credsAuthenticator(readFileSync(join(platform.data, "keys", "platform.creds"))) });
  await (await jetstreamManager(inside)).streams.delete("CHANGES");
  await inside.close();
  await grant();
  await eventually("the new stream", async () => (await changes({ cursor })).error === "changes.forgotten", 30_000);
  const { found } = await eventually("the snapshot", async () => {
    const read = await all();
    return read.found.some((one) => one.operation === "snapshot.end") && read;
  });
  const from = found.findIndex((one) => one.operation === "snapshot.begin");
  const rows = found.slice(from).filter((one) => one.row);
  assert.deepEqual(rows.map((one) => one.key.consent_id).sort(), sql("select consent_id from intra365.consent_records where tenant_id = 'default' order by 1").split("\n").sort());
});

test("the command line prints them line by line, and goes on from where it ended", async () => {
  const env = { ...process.env, INTRA365_API_KEY: keys.warehouse };
  const run = (...args) => {
    const { stdout, stderr, status } = spawnSync(join(binaries, "intra365"), ["--data", platform.data, "events", "changes", ...args], { encoding: "utf8", env });
    assert.equal(status, 0, stderr);
    return { lines: stdout.trim().split("\n").filter(Boolean).map((line) => JSON.parse(line)), cursor: /cursor (\S+)/.exec(stderr)[1] };
  };
  const { lines, cursor } = run("consent_records");
  assert.ok(lines.length > 3);
  const { consentId } = await grant();
  const next = await eventually("the next line", () => {
    const more = run("consent_records", "--cursor", cursor);
    return more.lines.length > 0 && more;
  });
  assert.equal(next.lines[0].key.consent_id, consentId);

  const follow = spawn(join(binaries, "intra365"), ["--data", platform.data, "events", "changes", "consent_records", "--cursor", next.cursor, "--follow"], { env, stdio: ["ignore", "pipe", "inherit"] });
  let printed = "";
  follow.stdout.on("data", (chunk) => (printed += chunk));
  const later = await grant();
  await eventually("the line of a change that came later", () => printed.includes(later.consentId));
  follow.kill("SIGINT");
});
