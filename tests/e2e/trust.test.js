// The bound on revocation with real servers that pause and die: once a revocation is acknowledged, a second
// later no use of the data is allowed, no answer leaves and no part of one. tests/sim asks the same of the same
// classes under thousands of seeds. With kLeaseDuration of src/guard/lease.hpp at an hour it fails.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { Platform, binaries, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";
import { openParts } from "./lib/parts.js";

const kBoundMs = 1000;
/** Between leaving the Mate and being seen here, on a machine that has much else to do. */
const kTravelMs = 400;
const platform = new Platform();
let analyzer, alice, assistant, admin;

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-Atc", text], { encoding: "utf8" }).trim();
const childPid = (name) => Number(execFileSync("ps", ["--no-headers", "-o", "pid,comm", "--ppid", String(platform.process.pid)], { encoding: "utf8" }).trim().split("\n").map((line) => line.trim().split(/\s+/)).find(([, command]) => command.startsWith(name))[0]);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const grant = async () => (await request(alice, "intra365.consent.grant", { userId: "alice", mateId: "image-analyzer", purposes: ["ai-assistance"], scopes: ["image.analyze"] })).reply;

before(async () => {
  await platform.start();
  const aliceKey = platform.cli("user", "create", "alice").apiKey;
  // So slow that answers in parts, and long jobs, are under way whenever something happens.
  analyzer = spawn(join(binaries, "image-analyzer"), [], { stdio: ["ignore", "ignore", "inherit"], env: { INTRA365_NATS_URL: platform.endpoints.nats, INTRA365_API_KEY: platform.cli("mate", "create", "image-analyzer").apiKey, IMAGE_ANALYZER_PAUSE_MS: "60" } });
  assistant = await logIn(platform, platform.cli("mate", "create", "assistant").apiKey);
  alice = await logIn(platform, aliceKey);
  admin = await logIn(platform, platform.adminKey);
  await eventually("the analyzer's registration", async () => (await request(assistant, "intra365.registry.discover", { capability: "image-analysis" })).reply.mates?.length === 1);
});

after(async () => {
  for (const session of [assistant, alice, admin]) await session?.connection.close();
  analyzer?.kill("SIGTERM");
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

const use = async () => (await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": "alice" })).reply.format === "png";
const verify = async () => (await request(assistant, "intra365.consent.verify", { userId: "alice", mateId: "image-analyzer", scopes: ["image.analyze"], purpose: "ai-assistance" })).reply.allowed === true;

const study = async () => (await request(assistant, "intra365.mate.image-analyzer.image-analysis.study-image", picture, { "X-User-Id": "alice" })).reply.length === 16;

/** Uses the data and asks whether it may be used, over and over; keeps when each allowed one was begun, and when it came. */
function keepUsing() {
  const allowed = [];
  let running = true;
  const loops = [use, use, use, study, study, verify, verify].map(async (attempt) => {
    while (running) {
      const begun = performance.now();
      if (await attempt().catch(() => false)) allowed.push({ begun, came: performance.now(), how: attempt.name });
      await pause(5);
    }
  });
  const parts = [0, 1].map(async () => {
    while (running) {
      const begun = performance.now();
      const answer = openParts(assistant, "image-analyzer", "image-analysis.describe-image", picture, { user: "alice" });
      await Promise.race([answer.ended, pause(3000)]);
      for (const part of answer.parts) allowed.push({ begun, came: part.at, how: "part" });
      answer.stop();
      await pause(20);
    }
  });
  return { allowed, stop: () => ((running = false), Promise.all([...loops, ...parts])) };
}

/** What the Mate itself has recorded as allowed from one moment to another, once everything up to then is there. */
async function recorded(since, until) {
  const id = Array.from({ length: 32 }, () => "0123456789abcdef"[Math.floor(Math.random() * 16)]).join("");
  const find = async (question) => (await request(admin, "intra365.audit.query", question)).reply.entries;
  // Refused, of somebody whom nothing else is about: a decision that is alike to no other has an entry of its own.
  // Servers may still be coming back, so it is asked until there is one.
  await eventually("the last entry", async () => {
    await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": id, traceparent: `00-${id}-00f067aa0ba902b7-01` });
    return (await find({ traceId: id, action: "call" })).length > 0;
  });
  const entries = await Promise.all(["call", "data.access"].map((action) => find({ action, actor: "mate:assistant", outcome: "allowed", since: since.toISOString(), until: until.toISOString() })));
  return entries.flat();
}

async function revokeUntilAcknowledged(consentId) {
  for (;;) {
    const answer = await request(alice, "intra365.consent.revoke", { consentId }).catch(() => ({}));
    // An earlier attempt may have been carried out although its answer was lost.
    if (answer.reply?.consents || answer.error === "consent.unknown") return performance.now();
    await pause(20);
  }
}

/** A revocation that this platform's processes are not told of: only what they ask for shows it. */
const revokeBehindTheBack = (consentId) =>
  sql(`with mate as (select intra365.bump_consent_epoch('default', 'mate', 'image-analyzer') as epoch),
            person as (select intra365.bump_consent_epoch('default', 'user', 'alice') as epoch)
       update intra365.consent_records set granted = false, status = 'revoked', revoked_at = now(), revision = revision + 1,
              epoch = person.epoch, mate_epoch = mate.epoch from mate, person where consent_id = '${consentId}'`);
const behindTheBack = async (consentId) => (revokeBehindTheBack(consentId), performance.now());

const faults = {
  "nothing fails": async (id) => revokeUntilAcknowledged(id),
  "the push is lost": async (id) => behindTheBack(id),
  "nats-server pauses, and the revocation falls into the pause": async (id) => {
    const pid = childPid("nats-server");
    process.kill(pid, "SIGSTOP");
    setTimeout(() => process.kill(pid, "SIGCONT"), 2500);
    return behindTheBack(id);
  },
  "nats-server is killed": async (id) => {
    process.kill(childPid("nats-server"), "SIGKILL");
    return revokeUntilAcknowledged(id);
  },
  "PostgreSQL is killed behind the revocation": async (id) => {
    const at = await behindTheBack(id);
    process.kill(childPid("postgres"), "SIGKILL");
    return at;
  },
};

test("a receiver that was asleep during the revocation lets nothing through when it wakes, not even what was sent before", async () => {
  await eventually("a grant", async () => (await grant()).granted);
  await eventually("it is allowed", use);
  analyzer.kill("SIGSTOP");
  const before = Array.from({ length: 20 }, () => use()); // in its socket ahead of the revocation
  await pause(100);
  assert.ok((await request(alice, "intra365.consent.revoke", { mateId: "image-analyzer" })).reply.consents?.length > 0);
  await pause(kBoundMs + 50);
  analyzer.kill("SIGCONT");
  assert.deepEqual((await Promise.all(before)).filter((allowed) => allowed), []);
});

test("what was sent to a receiver that was asleep is answered when it wakes and has asked what it missed", async () => {
  await eventually("a grant", async () => (await grant()).granted);
  await eventually("it is allowed", use);
  analyzer.kill("SIGSTOP");
  const before = Array.from({ length: 20 }, () => use()); // in its socket ahead of what it will ask
  await pause(kBoundMs + 50);
  analyzer.kill("SIGCONT");
  assert.deepEqual((await Promise.all(before)).filter((allowed) => !allowed), []);
});

for (const [name, fault] of Object.entries(faults)) {
  test(name, async () => {
    const given = await eventually("a grant", async () => (await grant().catch(() => ({}))).consentId && grant(), 30_000);
    await eventually("it is allowed", () => use().catch(() => false), 30_000);
    // The grant was asked for until it came: all but the last are taken back first.
    const others = (await request(alice, "intra365.consent.query", { userId: "alice", active: true })).reply.consents.filter((one) => one.consentId !== given.consentId);
    for (const one of others) await revokeUntilAcknowledged(one.consentId);
    const load = keepUsing();
    await eventually("uses and verifications", () => [["use", 20], ["verify", 20], ["study", 1], ["part", 20]].every(([how, least]) => load.allowed.filter((one) => one.how === how).length > least), 30_000);
    const acknowledged = await fault(given.consentId);
    const bound = acknowledged + kBoundMs;
    const since = new Date(performance.timeOrigin + bound);
    await pause(kBoundMs + 3000);
    const until = new Date();
    await load.stop();
    assert.deepEqual(load.allowed.filter((one) => one.begun >= bound), [], "begun");
    // What left in time may have waited in a server that was paused: when it left says the Mate's record alone.
    if (!name.includes("pauses")) assert.deepEqual(load.allowed.filter((one) => one.came >= bound + kTravelMs), [], "came");
    assert.ok(load.allowed.some((one) => one.begun < acknowledged), "it was allowed before");
    await eventually("it is allowed again once it is granted again", async () => {
      if (!(await grant().catch(() => ({}))).consentId) return false;
      return await use().catch(() => false);
    }, 30_000);
    assert.deepEqual(await recorded(since, until), [], "recorded");
    for (const one of (await request(alice, "intra365.consent.query", { userId: "alice", active: true })).reply.consents) await revokeUntilAcknowledged(one.consentId);
  });
}

/** A transaction that keeps everybody from reading which tokens were revoked, and revokes Mate `mateId` when it ends. */
async function lockRevocations(mateId) {
  const psql = spawn("psql", [platform.endpoints.postgres, "-qAt"], { stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  psql.stdout.on("data", (chunk) => (output += chunk));
  const ended = new Promise((done) => psql.on("exit", done));
  psql.stdin.write("begin; lock table intra365.token_revocations in access exclusive mode;\n\\echo locked\n");
  await eventually("the lock", () => output.includes("locked"));
  return async () => {
    psql.stdin.end(`select from intra365.add_revocation('default', null, 'mate:${mateId}', now() + interval '1 hour', 'user:admin'); commit;\n`);
    assert.equal(await ended, 0);
  };
}

test("while nobody can ask which tokens were revoked, the platform accepts none, over NATS and HTTP", async () => {
  const key = platform.cli("mate", "create", "visitor").apiKey;
  const visitor = await logIn(platform, key);
  const overNats = async () => (await request(visitor, "intra365.consent.query", { limit: 1 })).error;
  const overHttp = async () => (await platform.http("GET", "/v1/mates?limit=1", { token: visitor.token })).json.code;
  const evaluated = async () => (await platform.http("POST", "/access/v1/evaluation", { token: visitor.token, body: { subject: { type: "mate", id: "visitor" }, action: { name: "read" }, resource: { type: "doc", id: "x" } } })).json.code;
  await eventually("a token that is accepted", async () => (await overNats()) === undefined && (await overHttp()) === undefined);
  const revoke = await lockRevocations("visitor");
  await pause(kBoundMs + 50);
  for (const how of [overNats, overHttp, evaluated]) assert.equal(await how(), "guard.lease_expired", how.name);
  assert.notEqual((await request(visitor, "intra365.auth.sync", { epoch: 0 })).error, "guard.lease_expired", "by which others renew their leases");
  assert.ok(await platform.token(key), "a guest needs no token to be accepted");
  await revoke();
  await eventually("the revocation", async () => (await overNats()) === "token.revoked" && (await overHttp()) === "token.revoked");
  await eventually("others are accepted again", async () => (await request(admin, "intra365.consent.query", { limit: 1 })).error === undefined);
  await visitor.connection.close();
});
