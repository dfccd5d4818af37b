// The bound on revocation with real servers that pause and die: once a revocation is
// acknowledged, no use of the data that begins a second later is allowed. tests/sim asks the same of the same
// classes under thousands of seeds.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { Platform, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const kBoundMs = 1000;
const platform = new Platform();
let analyzer, alice, assistant;

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-Atc", text], { encoding: "utf8" }).trim();
const childPid = (name) => Number(execFileSync("ps", ["--no-headers", "-o", "pid,comm", "--ppid", String(platform.process.pid)], { encoding: "utf8" }).trim().split("\n").map((line) => line.trim().split(/\s+/)).find(([, command]) => command.startsWith(name))[0]);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const grant = async () => (await request(alice, "intra365.consent.grant", { userId: "alice", mateId: "image-analyzer", purposes: ["ai-assistance"], scopes: ["image.analyze"] })).reply;

before(async () => {
  await platform.start();
  const aliceKey = platform.cli("user", "create", "alice").apiKey;
  analyzer = platform.analyzer(platform.cli("mate", "create", "image-analyzer").apiKey);
  assistant = await logIn(platform, platform.cli("mate", "create", "assistant").apiKey);
  alice = await logIn(platform, aliceKey);
  await eventually("the analyzer's registration", async () => (await request(assistant, "intra365.registry.discover", { capability: "image-analysis" })).reply.mates?.length === 1);
});

after(async () => {
  for (const session of [assistant, alice]) await session?.connection.close();
  analyzer?.kill("SIGTERM");
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

const use = async () => (await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": "alice" })).reply.format === "png";
const verify = async () => (await request(assistant, "intra365.consent.verify", { userId: "alice", mateId: "image-analyzer", scopes: ["image.analyze"], purpose: "ai-assistance" })).reply.allowed === true;

/** Uses the data and asks whether it may be used, over and over; keeps when each allowed one was begun. */
function keepUsing() {
  const allowed = [];
  let running = true;
  const loops = [use, use, use, verify, verify].map(async (attempt) => {
    while (running) {
      const begun = performance.now();
      if (await attempt().catch(() => false)) allowed.push({ begun, how: attempt.name });
      await pause(5);
    }
  });
  return { allowed, stop: () => ((running = false), Promise.all(loops)) };
}

async function revokeUntilAcknowledged(consentId) {
  for (;;) {
    const answer = await request(alice, "intra365.consent.revoke", { consentId }).catch(() => ({}));
    // An earlier attempt may have been carried out although its answer was lost.
    if (answer.reply?.consents || answer.error === "consent.unknown") return performance.now();
    await pause(20);
  }
}

const behindTheBack = async (consentId) => (sql(`select intra365.revoke_consent('default', '${consentId}', 'alice', null, 'system', null)`), performance.now());

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

for (const [name, fault] of Object.entries(faults)) {
  test(name, async () => {
    const given = await eventually("a grant", async () => (await grant().catch(() => ({}))).consentId && grant(), 30_000);
    await eventually("it is allowed", () => use().catch(() => false), 30_000);
    // The grant was asked for until it came: all but the last are taken back first.
    const others = (await request(alice, "intra365.consent.query", { userId: "alice", active: true })).reply.consents.filter((one) => one.consentId !== given.consentId);
    for (const one of others) await revokeUntilAcknowledged(one.consentId);
    const load = keepUsing();
    await eventually("uses and verifications", () => ["use", "verify"].every((how) => load.allowed.filter((one) => one.how === how).length > 20));
    const acknowledged = await fault(given.consentId);
    await pause(kBoundMs + 3000);
    await load.stop();
    const late = load.allowed.filter((one) => one.begun >= acknowledged + kBoundMs);
    assert.deepEqual(late, []);
    assert.ok(load.allowed.some((one) => one.begun < acknowledged), "it was allowed before");
    await eventually("it is allowed again once it is granted again", async () => {
      if (!(await grant().catch(() => ({}))).consentId) return false;
      return await use().catch(() => false);
    }, 30_000);
    for (const one of (await request(alice, "intra365.consent.query", { userId: "alice", active: true })).reply.consents) await revokeUntilAcknowledged(one.consentId);
  });
}
