// Verification of consent: from memory where that is safe, from PostgreSQL where it is asked for, and never
// more than the bound behind the truth.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { Platform, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let alice, assistant, admin;

const ask = async (session, subject, body) => {
  const answer = await request(session, subject, body);
  assert.equal(answer.error, undefined, JSON.stringify(answer.reply));
  return answer.reply;
};
const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-Atc", text], { encoding: "utf8" }).trim();
const grant = (scopes = ["mail.read"], purposes = ["ai-assistance"], more = {}) => ask(alice, "intra365.consent.grant", { userId: "alice", mateId: "assistant", scopes, purposes, ...more });
const revoke = (consentId) => ask(alice, "intra365.consent.revoke", { consentId });
const verify = (more = {}) => ask(assistant, "intra365.consent.verify", { userId: "alice", mateId: "assistant", scopes: ["mail.read"], purpose: "ai-assistance", ...more });
/// From memory: a copy is there, and says how old it is.
const warm = () => eventually("a copy in memory", async () => (await verify()).cacheAgeMs > 0);

before(async () => {
  await platform.start();
  const keys = { assistant: platform.cli("mate", "create", "assistant").apiKey, alice: platform.cli("user", "create", "alice").apiKey };
  assistant = await logIn(platform, keys.assistant);
  alice = await logIn(platform, keys.alice);
  admin = await logIn(platform, platform.adminKey);
});

after(async () => {
  for (const session of [assistant, alice, admin]) await session?.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("a grant and a revocation count at once, in memory and in the truth", async () => {
  assert.equal((await verify()).code, "none");
  await warm();
  const given = await grant();
  for (const strict of [false, true]) {
    const reply = await verify({ strict, minEpoch: given.epoch });
    assert.deepEqual([reply.allowed, reply.code, reply.consentId], [true, "granted", given.consentId]);
    assert.ok(reply.epoch >= given.epoch);
  }
  assert.equal((await verify({ scopes: ["mail.read.subject"] })).allowed, true, "a scope covers those below it");
  assert.equal((await verify({ scopes: ["mail"] })).code, "scope_missing");
  assert.equal((await verify({ purpose: "marketing" })).code, "purpose_mismatch");
  await revoke(given.consentId);
  for (const strict of [false, true]) assert.equal((await verify({ strict })).code, "revoked");
  const refused = await request(assistant, "intra365.consent.verify", { userId: "alice", mateId: "assistant", scopes: ["mail.read"], purpose: "ai-assistance", minEpoch: 10_000 });
  assert.equal(refused.reply.error.code, "consent.stale");
});

test("a change whose push was lost counts within the bound", async () => {
  const given = await grant(["files.read"]);
  await warm();
  assert.equal((await verify({ scopes: ["files.read"] })).allowed, true);
  const begun = performance.now();
  sql(`select intra365.revoke_consent('default', '${given.consentId}', 'alice', null, 'system', null)`);
  let last = 0;
  for (;;) {
    const asked = performance.now();
    const reply = await verify({ scopes: ["files.read"] });
    if (!reply.allowed) break;
    last = asked - begun;
    assert.ok(last < 1000, "allowed after the bound");
  }
  assert.equal((await verify({ scopes: ["files.read"] })).code, "revoked");
});

test("expiry is decided by the clock, not by an event", async () => {
  const expiresAt = new Date(Date.now() + 700).toISOString();
  const given = await grant(["calendar.read"], ["planning"], { expiresAt });
  const now = () => verify({ scopes: ["calendar.read"], purpose: "planning" });
  assert.equal((await now()).consentId, given.consentId);
  await eventually("it expires", async () => !(await now()).allowed);
  assert.ok(Date.now() >= Date.parse(expiresAt));
  assert.equal((await now()).code, "expired");
});

test("many alike verifications leave one audit entry with their count", async () => {
  await warm();
  const count = 400;
  const before = Date.now();
  await Promise.all(Array.from({ length: count }, () => verify({ scopes: ["photos"], purpose: "albums" })));
  await eventually("they are recorded", async () => {
    const { entries } = await ask(admin, "intra365.audit.query", { userId: "alice", since: new Date(before - 1000).toISOString(), limit: 200 });
    const mine = entries.filter((one) => one.purpose === "albums");
    const total = mine.reduce((sum, one) => sum + (one.count ?? 1), 0);
    return total === count && mine.length < count / 2;
  });
});
