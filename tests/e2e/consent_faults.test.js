// The bound on revocation with real servers: whatever is paused or killed right after a revocation was acknowledged, no
// message that reaches the receiver after the bound is let through. The simulation (./dev sim) searches the same rule by
// the thousand; here it is the processes that ship. With kLeaseDuration of src/guard/lease.hpp at an hour the first test
// fails.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { Platform, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let analyzer, alice, assistant;
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));
const child = (name) => Number(execFileSync("ps", ["--no-headers", "-o", "pid,comm", "--ppid", String(platform.process.pid)], { encoding: "utf8" }).trim().split("\n").map((line) => line.trim().split(/\s+/)).find(([, comm]) => comm.startsWith(name))[0]);

before(async () => {
  await platform.start();
  const aliceKey = platform.cli("user", "create", "alice").apiKey;
  const assistantKey = platform.cli("mate", "create", "assistant").apiKey;
  analyzer = platform.analyzer(platform.cli("mate", "create", "image-analyzer").apiKey);
  assistant = await logIn(platform, assistantKey);
  alice = await logIn(platform, aliceKey);
  await eventually("the analyzer's registration", async () => (await request(assistant, "intra365.registry.discover", { capability: "image-analysis" })).reply.mates?.length === 1);
});

after(async () => {
  for (const session of [assistant, alice]) await session?.connection.close();
  analyzer?.kill("SIGTERM");
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

/** One call; when it was sent, and the refusal's code, `allowed`, or `none` when no answer came. */
async function call() {
  const sent = Date.now();
  try {
    const { error } = await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": "alice" });
    return { sent, outcome: error ?? "allowed" };
  } catch {
    return { sent, outcome: "none" };
  }
}

/** Calls every 20 ms until stopped; resolves to all of them. */
function keepCalling() {
  const calls = [];
  let running = true;
  const finished = (async () => {
    while (running) {
      calls.push(call());
      await sleep(20);
    }
    return Promise.all(calls);
  })();
  return () => ((running = false), finished);
}

async function allowed() {
  await eventually("a grant", async () => (await request(alice, "intra365.consent.grant", { userId: "alice", mateId: "image-analyzer", purposes: ["ai-assistance"], scopes: ["image.analyze"] })).reply.granted, 60_000);
  await eventually("an allowed call", async () => (await call()).outcome === "allowed", 60_000);
}

const revoke = async () => {
  const { reply } = await request(alice, "intra365.consent.revoke", { mateId: "image-analyzer" });
  assert.ok(reply.consents?.length > 0, JSON.stringify(reply));
  return { acknowledged: Date.now(), bound: reply.propagation.boundMs };
};

test("a receiver that was asleep during the revocation lets nothing through when it wakes, not even what was sent before", async () => {
  await allowed();
  analyzer.kill("SIGSTOP");
  const before = Array.from({ length: 20 }, call); // in its socket ahead of the revocation
  await sleep(100);
  const { bound } = await revoke();
  await sleep(bound + 50);
  analyzer.kill("SIGCONT");
  const outcomes = (await Promise.all(before)).map(({ outcome }) => outcome);
  assert.ok(outcomes.every((outcome) => outcome !== "allowed" && outcome !== "none"), JSON.stringify(outcomes));
});

for (const [what, fault] of [
  ["nats-server paused for 1.5 s", async () => { const pid = child("nats-server"); process.kill(pid, "SIGSTOP"); await sleep(1500); process.kill(pid, "SIGCONT"); }],
  ["nats-server killed", async () => process.kill(child("nats-server"), "SIGKILL")],
  ["postgres killed", async () => process.kill(child("postgres"), "SIGKILL")],
]) {
  test(`${what} right after a revocation: nothing sent after the bound is let through, and a new grant holds again`, async () => {
    await allowed();
    const stop = keepCalling();
    await sleep(200);
    const { acknowledged, bound } = await revoke();
    await fault();
    await sleep(bound + 1500);
    const calls = await stop();
    assert.ok(calls.some(({ outcome }) => outcome === "allowed"), "before the revocation");
    const late = calls.filter(({ sent }) => sent >= acknowledged + bound);
    assert.ok(late.length > 10, `${late.length} late calls`);
    assert.deepEqual(late.filter(({ outcome }) => outcome === "allowed"), []);
    await allowed();
    await request(alice, "intra365.consent.revoke", { mateId: "image-analyzer" });
  });
}
