// How far a change of a consent has got: which process of the Mate has confirmed it, and when.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { Platform, binaries, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let alice, bob, admin, aliceKey, analyzerKey;
const analyzers = [];

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-Atc", text], { encoding: "utf8" }).trim();
const ask = async (session, subject, body) => {
  const answer = await request(session, subject, body);
  assert.equal(answer.error, undefined, JSON.stringify(answer.reply));
  return answer.reply;
};
const grant = () => ask(alice, "intra365.consent.grant", { userId: "alice", mateId: "image-analyzer", purposes: ["ai-assistance"], scopes: ["image.analyze"] });
const state = (consentId) => ask(alice, "intra365.consent.propagation", { consentId });
const points = () => Number(sql("select count(*) from intra365.consent_points"));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

before(async () => {
  await platform.start();
  aliceKey = platform.cli("user", "create", "alice").apiKey;
  const bobKey = platform.cli("user", "create", "bob").apiKey;
  analyzerKey = platform.cli("mate", "create", "image-analyzer").apiKey;
  alice = await logIn(platform, aliceKey);
  bob = await logIn(platform, bobKey);
  admin = await logIn(platform, platform.adminKey);
  await grant(); // a Mate without any consent has nothing to confirm
  for (let i = 0; i < 3; ++i) analyzers.push(platform.analyzer(analyzerKey));
  await eventually("three enforcement points", () => points() === 3);
});

after(async () => {
  for (const session of [alice, bob, admin]) await session?.connection.close();
  for (const one of analyzers) one.kill("SIGKILL");
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("every process of the Mate confirms a revocation within milliseconds", async (t) => {
  const { consentId } = await grant();
  await ask(alice, "intra365.consent.revoke", { consentId });
  const done = await eventually("all confirmations", async () => ((one) => one.points.length === 3 && one.points.every((point) => point.state === "confirmed") && one)(await state(consentId)), 2000);
  assert.deepEqual([done.status, done.complete, done.boundMs, done.mateId], ["revoked", true, 1000, "image-analyzer"]);
  assert.ok(done.toldAt >= done.changedAt);
  const after = done.points.map((point) => point.afterUs / 1000);
  t.diagnostic(`confirmed after ${after.map((ms) => ms.toFixed(1)).join(", ")} ms`);
  assert.ok(after.every((ms) => ms > 0 && ms < 1000));
  assert.equal(new Set(done.points.map((point) => point.instance)).size, 3);
});

test("it is told over HTTP and by the command line, to those whom it concerns", async () => {
  const { consentId } = await grant();
  await ask(alice, "intra365.consent.suspend", { consentId });
  await eventually("all confirmations", async () => (await state(consentId)).complete);
  const http = await platform.http("GET", `/v1/consents/${consentId}/propagation`, { token: await platform.token(platform.adminKey) });
  assert.deepEqual([http.status, http.json.status, http.json.points.length], [200, "suspended", 3]);
  assert.equal(platform.cliAs(aliceKey, "consent", "propagation", consentId).points.length, 3);
  const text = execFileSync(join(binaries, "intra365"), ["--data", platform.data, "consent", "propagation", consentId], { encoding: "utf8", env: { ...process.env, INTRA365_API_KEY: aliceKey } });
  assert.match(text, /suspended.*complete\n( {2}image-analyzer\/\w+ {2}confirmed after [\d.]+ ms\n){3}/);
  assert.equal((await request(bob, "intra365.consent.propagation", { consentId })).error, "consent.unknown");
  assert.equal((await request(bob, "intra365.consent.propagation", { consentId: "nothing" })).error, "consent.unknown");
});

test("a process that hangs has not confirmed, and its lease is over when the bound has passed", async () => {
  const { consentId } = await grant();
  await pause(400); // all have asked since
  analyzers[0].kill("SIGSTOP");
  await ask(alice, "intra365.consent.revoke", { consentId });
  await eventually("two confirmations", async () => (await state(consentId)).points.filter((point) => point.state === "confirmed").length === 2);
  const early = await state(consentId);
  assert.deepEqual([early.points.filter((point) => point.state === "told").length, early.complete], [1, false]);
  const late = await eventually("the end of the bound", async () => ((one) => one.complete && one)(await state(consentId)));
  assert.deepEqual(late.points.map((point) => point.state).sort(), ["confirmed", "confirmed", "lapsed"]);
  analyzers[0].kill("SIGCONT");
  const awake = await eventually("the third confirmation", async () => ((one) => one.points.every((point) => point.state === "confirmed") && one)(await state(consentId)));
  assert.ok(Math.max(...awake.points.map((point) => point.afterUs)) > 1_000_000);
});

test("a process that is gone is not waited for, and what is old is forgotten", async () => {
  analyzers.pop().kill("SIGKILL");
  const { consentId } = await grant();
  await pause(12_000); // the living say every ten seconds that they are there
  sql("update intra365.consent_points set heard_at = now() - interval '2 minutes' where instance = (select instance from intra365.consent_points order by heard_at limit 1)");
  await ask(alice, "intra365.consent.revoke", { consentId });
  await eventually("the two that are left", async () => ((one) => one.complete && one.points.length === 2)(await state(consentId)));
  sql("update intra365.consent_propagation set changed_at = now() - interval '40 days'; update intra365.consent_confirmations set confirmed_at = now() - interval '40 days'");
  assert.equal(sql("select intra365.forget_consent_propagation(now() - interval '30 days', now() - interval '1 minute', 5000)"), "f");
  assert.deepEqual(sql("select (select count(*) from intra365.consent_propagation), (select count(*) from intra365.consent_confirmations), (select count(*) from intra365.consent_points)"), "0|0|2");
});

test("an epoch that nobody can have is refused, and takes nobody's confirmation with it", async () => {
  const itself = await logIn(platform, analyzerKey);
  const sync = (mateEpoch) => request(itself, "intra365.consent.sync", new TextEncoder().encode(`{"mateId":"image-analyzer","mateEpoch":${mateEpoch},"instance":"liar"}`));
  const { consentId } = await grant();
  for (const epoch of ["18446744073709551615", "9223372036854775808"]) assert.equal((await sync(epoch)).error, "request.bad_value");
  await sync("9007199254740991"); // such as there are, but none that this Mate has had
  await ask(alice, "intra365.consent.revoke", { consentId });
  await eventually("a confirmation", async () => (await state(consentId)).points.some((point) => point.state === "confirmed"), 5000);
  assert.equal(sql("select count(*) from intra365.consent_points where instance = 'liar'"), "0");
  await itself.connection.close();
});

test("what is stored after its person has given up waiting is told all the same; what was not handed over by then is not stored", async () => {
  const itself = await logIn(platform, analyzerKey);
  const heard = [];
  itself.connection.subscribe("intra365.guard.consent.image-analyzer", { callback: (_, message) => heard.push(message.json()) });
  await itself.connection.flush();
  const { consentId } = await grant();
  await eventually("the grant", () => heard.some((one) => one.consentId === consentId));
  const blocker = spawn("psql", [platform.endpoints.postgres, "-At"], { stdio: ["pipe", "pipe", "inherit"] });
  let said = "";
  blocker.stdout.on("data", (chunk) => (said += chunk));
  blocker.stdin.write(`begin;\nselect 'held ' || consent_id from intra365.consent_records where consent_id = '${consentId}' for update;\n`);
  await eventually("the lock", () => said.includes("held"));
  const outcomes = await Promise.all([
    request(alice, "intra365.consent.revoke", { consentId }),
    pause(50).then(() => request(alice, "intra365.consent.grant", { userId: "alice", mateId: "image-analyzer", purposes: ["too-late"], scopes: ["image"] })),
  ]);
  for (const { error } of outcomes) assert.ok(["postgres.timeout", "deadline"].includes(error), error);
  blocker.stdin.end("commit;\n");
  const last = await eventually("the revocation's push", () => heard.findLast((one) => one.consentId === consentId && one.status === "revoked"), 5000);
  assert.equal(last.granted, false);
  await ask(alice, "intra365.consent.grant", { userId: "alice", mateId: "image-analyzer", purposes: ["in-time"], scopes: ["image"] });
  const { consents } = await ask(alice, "intra365.consent.query", { limit: 200 });
  assert.equal(consents.find((one) => one.consentId === consentId).status, "revoked");
  assert.deepEqual(consents.filter((one) => one.purposes.includes("too-late")), []);
  await itself.connection.close();
});
