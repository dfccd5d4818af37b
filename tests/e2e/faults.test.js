// Faults under load: what was acknowledged is there afterwards, and what cannot be answered fails fast.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { Platform, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const grant = (number) => ({ userId: "alice", mateId: "archive", purposes: ["analytics"], scopes: [`item.n${number}`] });

/** Grants at `perSecond` until `stop` is called; resolves to the consent ids that were acknowledged. */
function keepGranting(session, perSecond) {
  const acknowledged = [];
  let running = true;
  let sent = 0;
  const began = Date.now();
  const finished = (async () => {
    const inFlight = new Set();
    while (running) {
      while (running && sent < ((Date.now() - began) * perSecond) / 1000 && inFlight.size < 256) {
        const one = request(session, "intra365.consent.grant", grant(++sent)).then(({ reply }) => reply.consentId && acknowledged.push(reply.consentId), () => {});
        inFlight.add(one);
        one.finally(() => inFlight.delete(one));
      }
      await new Promise((wake) => setTimeout(wake, 2));
    }
    await Promise.race([Promise.allSettled(inFlight), new Promise((wake) => setTimeout(wake, 6000))]);
    return acknowledged;
  })();
  return { acknowledged, stop: () => ((running = false), finished) };
}

async function allConsents(session) {
  const ids = new Set();
  let cursor;
  do {
    const { reply } = await request(session, "intra365.consent.query", { userId: "alice", limit: 200, ...(cursor ? { cursor } : {}) });
    for (const consent of reply.consents) ids.add(consent.consentId);
    cursor = reply.nextCursor;
  } while (cursor);
  return ids;
}

const childPids = (pid) => execFileSync("ps", ["--no-headers", "-o", "pid,comm", "--ppid", String(pid)], { encoding: "utf8" }).trim().split("\n").map((line) => line.trim().split(/\s+/));
const isAlive = (pid) => {
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch {
    return false;
  }
};

test("kill -9 of the program during 1,000 grants a second loses no acknowledged grant, and leaves no child", async () => {
  const platform = await new Platform().start();
  const key = platform.cli("user", "create", "alice").apiKey;
  let alice = await logIn(platform, key);
  const load = keepGranting(alice, 1000);
  await eventually("500 acknowledged grants", () => load.acknowledged.length >= 500);
  const children = childPids(platform.process.pid);
  await platform.kill();
  const acknowledged = await load.stop();
  await alice.connection.close().catch(() => {});
  await eventually("the children's end", () => children.every(([pid]) => !isAlive(pid)));

  await platform.start();
  alice = await logIn(platform, key);
  const kept = await allConsents(alice);
  const lost = acknowledged.filter((id) => !kept.has(id));
  assert.deepEqual(lost, []);
  await alice.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

for (const server of ["postgres", "nats-server"]) {
  test(`${server} killed under load: requests fail fast, all recovers, nothing acknowledged is lost`, async () => {
    const platform = await new Platform().start();
    const key = platform.cli("user", "create", "alice").apiKey;
    const alice = await logIn(platform, key);
    const load = keepGranting(alice, 300);
    await eventually("100 acknowledged grants", () => load.acknowledged.length >= 100);
    const [pid] = childPids(platform.process.pid).find(([, name]) => name.startsWith(server));
    process.kill(Number(pid), "SIGKILL");
    const before = load.acknowledged.length;
    await eventually("grants going on by themselves", () => load.acknowledged.length > before + 200, 60_000);
    const acknowledged = await load.stop();
    const kept = await allConsents(alice);
    assert.deepEqual(acknowledged.filter((id) => !kept.has(id)), []);
    const history = (await request(alice, "intra365.consent.audit", { userId: "alice", limit: 200 })).reply;
    assert.equal(history.entries.length, 200);
    await eventually("readiness", async () => (await platform.http("GET", "/readyz")).status === 200);
    await alice.connection.close();
    assert.equal((await platform.stop()).code, 0);
    platform.remove();
  });
}
