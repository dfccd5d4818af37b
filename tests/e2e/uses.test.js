// Uses of somebody's data: what ends one that runs when the consent does, and that every use is on record once.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { Platform, binaries, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";
import { openParts } from "./lib/parts.js";

const kBoundMs = 1000;
const platform = new Platform();
let analyzer, slow, slowKey, alice, assistant, admin;

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-Atc", text], { encoding: "utf8" }).trim();
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const trace = () => Array.from({ length: 32 }, () => "0123456789abcdef"[Math.floor(Math.random() * 16)]).join("");
const traced = (id) => ({ traceparent: `00-${id}-00f067aa0ba902b7-01` });
const ask = async (session, subject, body) => {
  const answer = await request(session, subject, body);
  assert.equal(answer.error, undefined, JSON.stringify(answer.reply));
  return answer.reply;
};
const call = (mate, action, body, id) => request(assistant, `intra365.mate.${mate}.${action}`, body, { "X-User-Id": "alice", ...traced(id) });
const grant = (mateId) => ask(alice, "intra365.consent.grant", { userId: "alice", mateId, purposes: ["ai-assistance"], scopes: ["image.analyze"] });
const revoke = (mateId) => ask(alice, "intra365.consent.revoke", { mateId, userId: "alice" });
const recorded = (action, id) => eventually(`the entry of ${action}`, async () => {
  const { entries } = await ask(admin, "intra365.audit.query", { traceId: id, action });
  return entries.length > 0 && entries;
});
/** Consent that the Mate knows of, and nothing that a later call could be folded into. */
async function granted(mate, action, body) {
  const record = await grant(mate);
  let id;
  await eventually("the Mate's knowledge", async () => (await call(mate, action, body, (id = trace()))).error === undefined);
  await recorded("call", id);
  return record;
}
const start = (program, apiKey, env = {}) => spawn(join(binaries, program), [], { stdio: ["ignore", "ignore", "pipe"], env: { INTRA365_NATS_URL: platform.endpoints.nats, INTRA365_API_KEY: apiKey, ...env } });

before(async () => {
  await platform.start();
  slowKey = platform.cli("mate", "create", "slow-mate").apiKey;
  slow = start("slow_mate", slowKey);
  analyzer = start("image-analyzer", platform.cli("mate", "create", "image-analyzer").apiKey);
  assistant = await logIn(platform, platform.cli("mate", "create", "assistant").apiKey);
  alice = await logIn(platform, platform.cli("user", "create", "alice").apiKey);
  admin = await logIn(platform, platform.adminKey);
  for (const capability of ["image-analysis", "slowness"]) await eventually(`${capability} is offered`, async () => (await request(assistant, "intra365.registry.discover", { capability })).reply.mates?.length === 1);
});

after(async () => {
  for (const session of [assistant, alice, admin]) await session?.connection.close();
  for (const mate of [analyzer, slow]) mate?.kill("SIGTERM");
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("a handler that waits and asks nothing is stopped by a revocation", async () => {
  await granted("slow-mate", "slowness.stubborn", 1);
  const id = trace();
  const waiting = call("slow-mate", "slowness.wait", "", id);
  await pause(100);
  await revoke("slow-mate");
  const revoked = performance.now();
  assert.equal((await waiting).error, "consent.revoked");
  assert.ok(performance.now() - revoked < kBoundMs);
  assert.deepEqual((await recorded("data.access", id)).map((one) => [one.outcome, one.code]), [["denied", "consent.revoked"]]);
});

test("one that does not stop is not heard: its answer stays behind", async () => {
  await granted("slow-mate", "slowness.stubborn", 1);
  const id = trace();
  const waiting = call("slow-mate", "slowness.stubborn", 1500, id);
  await pause(100);
  await revoke("slow-mate");
  const { error, reply } = await waiting;
  assert.equal(error, "consent.revoked", JSON.stringify(reply));
  assert.deepEqual((await recorded("data.access", id)).map((one) => [one.outcome, one.code]), [["denied", "consent.revoked"]]);
});

test("an answer that left in time is no denial", async () => {
  await granted("slow-mate", "slowness.stubborn", 1);
  const id = trace();
  assert.equal((await call("slow-mate", "slowness.stubborn", 50, id)).error, undefined);
  await revoke("slow-mate");
  await recorded("call", id);
  const after = trace();
  assert.equal((await call("slow-mate", "slowness.stubborn", 1, after)).error, "consent.revoked");
  await recorded("call", after);
  assert.deepEqual((await ask(admin, "intra365.audit.query", { traceId: id, action: "data.access" })).entries, []);
});

test("a handler that watches part of its work by itself is watched to its end all the same", async () => {
  await granted("slow-mate", "slowness.stubborn", 1);
  const answer = openParts(assistant, "slow-mate", "slowness.nested", "", { user: "alice" });
  await eventually("the part", () => answer.parts.length === 1);
  await revoke("slow-mate");
  const revoked = performance.now();
  assert.equal((await answer.ended).code, "consent.revoked");
  assert.ok(answer.end.at - revoked < kBoundMs);
});

test("a Mate that says half of what an action uses does not start", async () => {
  const incomplete = start("slow_mate", slowKey, { SLOW_MATE_INCOMPLETE: "1" });
  let said = "";
  incomplete.stderr.on("data", (chunk) => (said += chunk));
  const code = await new Promise((done) => incomplete.on("close", done));
  assert.equal(code, 1);
  assert.match(said, /sdk\.incomplete_use: 'slowness\.half' names scopes without a purpose/);
});

test("every use is in the log of data accesses, once, with its consent, purpose and scopes", async () => {
  const { consentId } = await granted("image-analyzer", "image-analysis.analyze-image", picture);
  const traces = { call: trace(), parts: trace(), job: trace(), http: trace(), refused: trace(), question: trace() };
  assert.equal((await call("image-analyzer", "image-analysis.analyze-image", picture, traces.call)).error, undefined);
  await recorded("call", traces.call);
  assert.equal((await openParts(assistant, "image-analyzer", "image-analysis.describe-image", picture, { user: "alice", extra: traced(traces.parts) }).ended).code, "ok");
  assert.equal((await call("image-analyzer", "image-analysis.study-image", picture, traces.job)).error, undefined);
  const overHttp = await platform.http("POST", "/v1/mates/image-analyzer/call/image-analysis/analyze-image", { token: assistant.token, body: picture, headers: { "x-user-id": "alice", ...traced(traces.http) } });
  assert.equal(overHttp.status, 200, overHttp.text);
  const asked = await request(assistant, "intra365.consent.verify", { userId: "alice", mateId: "image-analyzer", scopes: ["image.analyze"], purpose: "ai-assistance" }, traced(traces.question));
  assert.equal(asked.reply.allowed, true);
  await revoke("image-analyzer");
  assert.equal((await call("image-analyzer", "image-analysis.analyze-image", picture, traces.refused)).error, "consent.revoked");

  const rows = () => JSON.parse(sql(`select coalesce(json_agg(json_build_array(trace_id, user_id, actor, consent_id, purpose, scopes, outcome, count)), '[]') from intra365.data_access_logs where trace_id in (${Object.values(traces).map((id) => `'${id}'`).join(", ")})`));
  await eventually("the last entry", () => rows().some(([id]) => id === traces.refused));
  await recorded("consent.verify", traces.question);
  const of = (id) => rows().filter((row) => row[0] === id).map((row) => row.slice(1));
  for (const how of ["call", "parts", "job", "http"]) assert.deepEqual(of(traces[how]), [["alice", "mate:assistant", consentId, "ai-assistance", ["image.analyze"], "allowed", 1]], how);
  assert.deepEqual(of(traces.refused), [["alice", "mate:assistant", null, "ai-assistance", ["image.analyze"], "denied", 1]]);
  assert.deepEqual(of(traces.question), [], "a question uses nothing");
});

test("another consent that covers the use may be named, by the same rule at the gateway and at the Mate", async () => {
  const first = await granted("image-analyzer", "image-analysis.analyze-image", picture);
  const second = await grant("image-analyzer");
  const over = {
    nats: async (id) => (await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": "alice", "X-Consent-Id": id })).error,
    http: async (id) => (await platform.http("POST", "/v1/mates/image-analyzer/call/image-analysis/analyze-image", { token: assistant.token, body: picture, headers: { "x-user-id": "alice", "x-consent-id": id } })).json.code,
  };
  for (const [how, code] of Object.entries(over)) {
    for (const one of [first, second]) await eventually(`${how} with ${one.consentId}`, async () => (await code(one.consentId)) === undefined);
    for (const other of ["00000000-0000-7000-8000-000000000000", "no.such!consent"]) assert.equal(await code(other), "consent.mismatch", `${how} with ${other}`);
  }
  await ask(alice, "intra365.consent.revoke", { consentId: second.consentId });
  for (const [how, code] of Object.entries(over)) await eventually(`${how} with a revoked one`, async () => (await code(second.consentId)) === "consent.mismatch");
  const strictly = (consentId) => request(assistant, "intra365.consent.verify", { userId: "alice", mateId: "image-analyzer", scopes: ["image.analyze"], purpose: "ai-assistance", strict: true, consentId });
  assert.deepEqual([(await strictly(first.consentId)).reply.code, (await strictly(second.consentId)).reply.code], ["granted", "revoked"]);
});
