// The cache of consents against the truth: whatever happens to the bucket, nobody is allowed by it, and it is put
// right, counted and told.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Kvm } from "@nats-io/kv";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { Platform, binaries, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";
import { openParts } from "./lib/parts.js";

const kBoundMs = 1000;
const platform = new Platform();
let alice, assistant, inside, bucket, analyzer;

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-Atc", text], { encoding: "utf8" }).trim();
const ask = async (session, subject, body) => {
  const answer = await request(session, subject, body);
  assert.equal(answer.error, undefined, JSON.stringify(answer.reply));
  return answer.reply;
};
const grant = (more = {}) => ask(alice, "intra365.consent.grant", { userId: "alice", mateId: "image-analyzer", purposes: ["ai-assistance"], scopes: ["image.analyze"], ...more });
const use = async () => (await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": "alice" })).error;
const verify = async () => (await ask(assistant, "intra365.consent.verify", { userId: "alice", mateId: "image-analyzer", scopes: ["image.analyze"], purpose: "ai-assistance" })).allowed;
const entry = async (consentId) => (await bucket.get(`default.${consentId}`).then((one) => (one && one.operation === "PUT" ? one.json() : undefined)));
const reconcile = () => platform.cli("consent", "reconcile");
const counts = ({ missing, altered, unknown }) => [missing, altered, unknown];
const metric = async (name) => Number((await platform.http("GET", "/metrics")).text.match(new RegExp(`^intra365_${name} (\\S+)`, "m"))?.[1]);

before(async () => {
  await platform.start();
  const aliceKey = platform.cli("user", "create", "alice").apiKey;
  analyzer = platform.analyzer(platform.cli("mate", "create", "image-analyzer").apiKey);
  assistant = await logIn(platform, platform.cli("mate", "create", "assistant").apiKey);
  alice = await logIn(platform, aliceKey);
  const creds = readFileSync(join(platform.data, "keys", "platform.creds"));
  inside = await connect({ servers: platform.endpoints.nats, authenticator: credsAuthenticator(creds) });
  bucket = await new Kvm(inside).open("consents");
  await eventually("the analyzer's registration", async () => (await request(assistant, "intra365.registry.discover", { capability: "image-analysis" })).reply.mates?.length === 1);
});

after(async () => {
  for (const session of [alice, assistant]) await session?.connection.close();
  await inside?.close();
  analyzer?.kill("SIGTERM");
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("a cache that is as the truth is left alone, while it changes, too", async () => {
  const given = await grant();
  await eventually("the entry", () => entry(given.consentId));
  let running = true;
  const changing = (async () => {
    while (running) {
      const { consentId } = await grant();
      await ask(alice, "intra365.consent.revoke", { consentId });
    }
  })();
  for (let i = 0; i < 3; ++i) {
    const found = reconcile();
    assert.deepEqual([counts(found), found.complete], [[0, 0, 0], true]);
    assert.ok(found.checked > 0);
  }
  running = false;
  await changing;
  await ask(alice, "intra365.consent.revoke", { mateId: "image-analyzer" });
});

test("entries that somebody changed, took away or made up allow nothing, and are put right", async () => {
  const [kept, revoked, removed] = [await grant(), await grant(), await grant()];
  await ask(alice, "intra365.consent.revoke", { mateId: "image-analyzer" });
  await eventually("the refusal", async () => (await use()) === "consent.revoked", kBoundMs);
  await eventually("the entries", async () => (await entry(revoked.consentId))?.status === "revoked");

  const forged = { ...(await entry(revoked.consentId)), status: "active", granted: true, epoch: 10_000, mateEpoch: 10_000, revision: 99 };
  delete forged.revokedAt;
  await bucket.put(`default.${revoked.consentId}`, JSON.stringify(forged));
  await bucket.delete(`default.${removed.consentId}`);
  await bucket.put("default.made-up", JSON.stringify({ ...forged, consentId: "made-up" }));
  await bucket.put("default.not.a.consent", "{}");
  await bucket.put(`default.${kept.consentId}`, "rubbish");
  for (let i = 0; i < 20; ++i) assert.deepEqual([await use(), await verify()], ["consent.revoked", false]);

  const before = await metric("consent_cache_altered_total");
  const found = reconcile();
  assert.deepEqual(counts(found), [1, 2, 2]);
  assert.equal((await entry(revoked.consentId)).status, "revoked");
  assert.equal((await entry(removed.consentId)).status, "revoked");
  assert.equal((await entry(kept.consentId)).status, "revoked");
  for (const key of ["made-up", "not.a.consent"]) assert.equal(await entry(key), undefined);
  assert.deepEqual(counts(reconcile()), [0, 0, 0]);

  assert.equal(await metric("consent_cache_altered_total"), before + 2);
  assert.deepEqual(JSON.parse(sql("select details from intra365.system_events where type = 'consent.cache_differed' order by at desc limit 1")), { tenant: "default", missing: 1, altered: 2, unknown: 2 });
  const logs = readdirSync(join(platform.data, "logs")).map((file) => readFileSync(join(platform.data, "logs", file), "utf8"));
  assert.ok(logs.some((log) => log.includes("the consent cache differed from the truth")));
});

test("the bucket deleted under running Mates: what holds goes on, what is revoked ends, and it comes back", async () => {
  const given = await grant();
  await eventually("it is allowed", async () => (await use()) === undefined);
  await eventually("the entry", () => entry(given.consentId));
  const answer = openParts(assistant, "image-analyzer", "image-analysis.describe-image", picture, { user: "alice", window: 1, takes: false });
  await eventually("the first part", () => answer.parts.length === 1);
  assert.equal((await inside.request("$JS.API.STREAM.DELETE.KV_consents", "")).json().success, true);
  assert.deepEqual([await use(), await verify()], [undefined, true]);
  const revoked = await ask(alice, "intra365.consent.revoke", { consentId: given.consentId });
  const replied = performance.now();
  assert.ok(revoked.consents.length === 1);
  assert.equal((await answer.ended).code, "consent.revoked");
  while (performance.now() < replied + kBoundMs) await use();
  for (let i = 0; i < 50; ++i) assert.deepEqual([await use(), await verify()], ["consent.revoked", false]);
  const found = reconcile();
  assert.ok(found.missing > 0 && found.altered === 0);
  assert.equal((await entry(given.consentId)).status, "revoked");
  assert.deepEqual(counts(reconcile()), [0, 0, 0]);
});

test("it is compared by itself, by one of all instances at a time", async () => {
  const given = await grant();
  await eventually("the entry", () => entry(given.consentId));
  await bucket.delete(`default.${given.consentId}`);
  sql("update intra365.consent_cache_rounds set started_at = now() - interval '11 minutes'");
  await eventually("the entry again", () => entry(given.consentId), 30_000);
  await eventually("the report", () => sql("select missing from intra365.consent_cache_rounds where finished_at is not null") === "1");
});

test("a tenant that cannot be compared keeps no other from it, and what was put right is told", async () => {
  const given = await grant();
  await eventually("the entry", () => entry(given.consentId));
  const broken = platform.cli("tenant", "create", "a-broken");
  assert.equal(broken.tenant ?? broken.tenantId, "a-broken");
  sql("insert into intra365.consent_records (tenant_id, consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, epoch, mate_epoch) values ('a-broken', 'no key', 'eve', 'm', '{x}', '{x}', true, now(), 1, 1)");
  await bucket.delete(`default.${given.consentId}`);
  sql("update intra365.consent_cache_rounds set started_at = now() - interval '11 minutes'");
  await eventually("the entry again", () => entry(given.consentId), 30_000);
  await eventually("the report", () => sql("select missing from intra365.consent_cache_rounds where finished_at is not null") === "1");
  sql("delete from intra365.consent_records where tenant_id = 'a-broken'");
});

test("an older value never takes the place of a newer one, whoever writes it", async () => {
  const given = await grant();
  await eventually("the entry", () => entry(given.consentId));
  // As another process that was faster with a later change.
  const newer = { ...(await entry(given.consentId)), mateEpoch: given.mateEpoch + 1000, revision: 7 };
  await bucket.put(`default.${given.consentId}`, JSON.stringify(newer));
  await ask(alice, "intra365.consent.suspend", { consentId: given.consentId });
  const other = await grant();
  await eventually("what was queued behind it", () => entry(other.consentId));
  assert.equal((await entry(given.consentId)).revision, 7);
  assert.equal(reconcile().altered, 1, "only the truth itself says otherwise");
  assert.equal((await entry(given.consentId)).status, "suspended");
});

test("what says the same change otherwise is replaced, as when a person's name has gone", async () => {
  const given = await grant();
  await eventually("the entry", () => entry(given.consentId));
  await bucket.put(`default.${given.consentId}`, JSON.stringify({ ...(await entry(given.consentId)), mateEpoch: given.mateEpoch + 1, userId: "other" }));
  const suspended = await ask(alice, "intra365.consent.suspend", { consentId: given.consentId });
  assert.equal(suspended.mateEpoch, given.mateEpoch + 1);
  await eventually("the name", async () => (await entry(given.consentId)).userId === "alice");
  assert.equal((await entry(given.consentId)).status, "suspended");
});

test("a bucket that is new is filled at once, however young the last comparison is", async () => {
  const given = await grant();
  await eventually("the entry", () => entry(given.consentId));
  await eventually("a finished comparison", () => sql("select finished_at is not null from intra365.consent_cache_rounds") === "t");
  sql("update intra365.consent_cache_rounds set started_at = now()");
  assert.equal((await inside.request("$JS.API.STREAM.DELETE.KV_consents", "")).json().success, true);
  await eventually("the entry again", async () => {
    bucket = await new Kvm(inside).open("consents");
    return await entry(given.consentId);
  }, 25_000);
});

test("only a tenant's operator may ask for it, and sees only its own", async () => {
  const refused = await platform.http("POST", "/v1/consents/reconcile", { token: alice.token, body: {} });
  assert.equal(refused.json.code, "access.role_required");
  const text = execFileSync(join(binaries, "intra365"), ["--data", platform.data, "consent", "reconcile"], { encoding: "utf8" });
  assert.match(text, /^\d+ checked, put right: 0 missing, 0 altered, 0 unknown \(\d+ ms\)\n$/);
});
