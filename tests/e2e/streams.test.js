// Answers in parts, and what ends one before its time: a revocation, an expiry, a policy, a revoked token, a
// platform that is not there, a reader who has had enough. Real servers, plain NATS and HTTP.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { promisify } from "node:util";
import { Platform, binaries, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";
import { events, openParts, readBody } from "./lib/parts.js";

const kBoundMs = 1000;
const kPauseMs = 40;
const platform = new Platform();
let analyzer, alice, assistant, admin, assistantKey, aliceKey;

const childPid = (name) => Number(execFileSync("ps", ["--no-headers", "-o", "pid,comm", "--ppid", String(platform.process.pid)], { encoding: "utf8" }).trim().split("\n").map((line) => line.trim().split(/\s+/)).find(([, command]) => command.startsWith(name))[0]);
const ask = async (session, subject, body) => {
  const answer = await request(session, subject, body);
  assert.equal(answer.error, undefined, JSON.stringify(answer.reply));
  return answer.reply;
};
const grant = (more = {}) => ask(alice, "intra365.consent.grant", { userId: "alice", mateId: "image-analyzer", purposes: ["ai-assistance"], scopes: ["image.analyze"], ...more });
const revokeAll = () => request(alice, "intra365.consent.revoke", { mateId: "image-analyzer" });
/** A stream that has begun: its third part is there. */
async function begun(options = {}) {
  const answer = openParts(assistant, "image-analyzer", "image-analysis.describe-image", picture, { user: "alice", ...options });
  await eventually("some parts", () => (assert.equal(answer.end, undefined, JSON.stringify(answer.end)), answer.parts.length >= 3));
  return answer;
}
/** A new grant that the analyzer knows of. */
async function granted(more = {}) {
  const record = await grant(more);
  await eventually("the analyzer's knowledge", async () => (await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": "alice", "X-Consent-Id": record.consentId })).error === undefined);
  return record;
}
const usage = (traceId) => eventually("the entry of the use", async () => (await ask(admin, "intra365.audit.query", { traceId, action: "data.access" })).entries[0]);
const trace = () => Array.from({ length: 32 }, () => "0123456789abcdef"[Math.floor(Math.random() * 16)]).join("");
const traced = (id) => ({ traceparent: `00-${id}-00f067aa0ba902b7-01` });

before(async () => {
  await platform.start();
  aliceKey = platform.cli("user", "create", "alice").apiKey;
  assistantKey = platform.cli("mate", "create", "assistant").apiKey;
  const analyzerKey = platform.cli("mate", "create", "image-analyzer").apiKey;
  analyzer = spawn(join(binaries, "image-analyzer"), [], { stdio: ["ignore", "ignore", "inherit"], env: { INTRA365_NATS_URL: platform.endpoints.nats, INTRA365_API_KEY: analyzerKey, IMAGE_ANALYZER_PAUSE_MS: String(kPauseMs) } });
  assistant = await logIn(platform, assistantKey);
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

test("without consent there is no first part", async () => {
  const refused = openParts(assistant, "image-analyzer", "image-analysis.describe-image", picture, { user: "alice" });
  assert.equal((await refused.ended).code, "consent.none");
  assert.equal(refused.parts.length, 0);
});

test("parts come one after the other, in order, and the use is on record", async () => {
  const record = await granted();
  const id = trace();
  const answer = openParts(assistant, "image-analyzer", "image-analysis.describe-image", picture, { user: "alice", extra: traced(id) });
  assert.deepEqual([(await answer.ended).code, answer.end.last], ["ok", 17]);
  assert.deepEqual(answer.parts.map((part) => part.number), Array.from({ length: 17 }, (_, i) => i + 1));
  assert.equal(JSON.parse(answer.parts[0].data).band, 1);
  assert.equal(JSON.parse(answer.parts[16].data).width, 320);
  assert.ok(answer.parts[15].at - answer.parts[0].at > 10 * kPauseMs, "as they are made, not all at the end");
  const entry = await usage(id);
  assert.deepEqual([entry.outcome, entry.count, entry.consentId, entry.userId, entry.actor], ["allowed", 17, record.consentId, "alice", "mate:assistant"]);
  assert.ok(entry.durationUs > 10 * kPauseMs * 1000);
  const access = (await ask(admin, "intra365.audit.query", { traceId: id, action: "call" })).entries[0];
  assert.deepEqual([access.outcome, access.consentId], ["allowed", record.consentId]);
});

test("a revocation in the middle ends the answer with its code, within the bound, and is on record", async (t) => {
  await granted();
  const id = trace();
  const answer = await begun({ extra: traced(id) });
  const revoked = await revokeAll();
  const replied = performance.now();
  assert.ok(revoked.reply.consents.length > 0);
  assert.equal((await answer.ended).code, "consent.revoked");
  t.diagnostic(`the stream ended ${(answer.end.at - replied).toFixed(2)} ms after the reply to the revocation, after part ${answer.parts.length} of 17`);
  assert.ok(answer.end.at - replied < kBoundMs);
  assert.ok(answer.parts.length < 17);
  await new Promise((done) => setTimeout(done, 5 * kPauseMs));
  assert.deepEqual(answer.parts.filter((part) => part.at > answer.end.at), []);
  const entry = await usage(id);
  assert.deepEqual([entry.outcome, entry.code, entry.count], ["denied", "consent.revoked", answer.parts.length]);
  const next = openParts(assistant, "image-analyzer", "image-analysis.describe-image", picture, { user: "alice" });
  assert.equal((await next.ended).code, "consent.revoked");
});

test("an expiry in the middle ends the answer at that moment", async (t) => {
  const expiry = Date.now() + 600;
  await granted({ expiresAt: new Date(expiry).toISOString() });
  const answer = await begun();
  const offset = Date.now() - performance.now();
  assert.equal((await answer.ended).code, "consent.expired");
  t.diagnostic(`the stream ended ${(answer.end.at + offset - expiry).toFixed(2)} ms after the expiry, after part ${answer.parts.length} of 17`);
  assert.ok(Math.abs(answer.end.at + offset - expiry) < 100);
  assert.deepEqual(answer.parts.filter((part) => part.at + offset > expiry + 20), []);
});

test("a suspension and a narrowing end it, a renewal and another grant do not", async () => {
  for (const [operation, body, code] of [["suspend", {}, "consent.suspended"], ["narrow", { scopes: ["image.analyze.colour"] }, "consent.scope_missing"]]) {
    const { consentId } = await granted();
    const answer = await begun();
    await ask(alice, `intra365.consent.${operation}`, { consentId, ...body });
    assert.equal((await answer.ended).code, code, operation);
    await revokeAll();
  }
  const { consentId } = await granted({ expiresAt: new Date(Date.now() + 60_000).toISOString() });
  const answer = await begun();
  await ask(alice, "intra365.consent.renew", { consentId, expiresAt: new Date(Date.now() + 120_000).toISOString() });
  await grant();
  assert.equal((await answer.ended).code, "ok");
});

test("another consent does not prolong what ran under a revoked one", async () => {
  await revokeAll();
  const first = await granted();
  const answer = await begun({ extra: { "X-Consent-Id": first.consentId } });
  await granted();
  await ask(alice, "intra365.consent.revoke", { consentId: first.consentId });
  assert.equal((await answer.ended).code, "consent.revoked");
  const next = openParts(assistant, "image-analyzer", "image-analysis.describe-image", picture, { user: "alice" });
  assert.equal((await next.ended).code, "ok");
});

test("a policy in the middle ends it; one about others does not", async () => {
  const policy = (policyId, subject) => ({ policyId, name: policyId, type: "mate-access", rules: [{ effect: "deny", subjects: [subject], resources: ["mate:image-analyzer/*"], actions: ["call"] }] });
  const untouched = await begun();
  await ask(admin, "intra365.policy.create", policy("hold-nobody", "mate:nobody"));
  assert.equal((await untouched.ended).code, "ok");
  const answer = await begun();
  await ask(admin, "intra365.policy.create", policy("hold-assistant", "mate:assistant"));
  assert.equal((await answer.ended).code, "policy.denied");
  for (const policyId of ["hold-nobody", "hold-assistant"]) await ask(admin, "intra365.policy.delete", { policyId });
});

test("a caller whose token is revoked gets no further part", async () => {
  const key = platform.cli("mate", "create", "visitor").apiKey;
  const visitor = await logIn(platform, key);
  const answer = openParts(visitor, "image-analyzer", "image-analysis.describe-image", picture, { user: "alice" });
  await eventually("some parts", () => answer.parts.length >= 3);
  await ask(admin, "intra365.auth.token.revoke", { mateId: "visitor" });
  // The server closes its connection as well: what is left is the record.
  const entry = await eventually("the record", async () => (await ask(admin, "intra365.audit.query", { actor: "mate:visitor", action: "data.access" })).entries[0]);
  assert.ok(entry.count < 17);
  assert.match(entry.code, /^(token\.revoked|stream\.reader_gone)$/);
  await visitor.connection.close().catch(() => {});
});

test("no more is under way than the reader asked for, and a cancelled answer stops", async () => {
  const id = trace();
  const answer = openParts(assistant, "image-analyzer", "image-analysis.describe-image", picture, { user: "alice", window: 2, takes: false, extra: traced(id) });
  await eventually("two parts", () => answer.parts.length === 2);
  await new Promise((done) => setTimeout(done, 6 * kPauseMs));
  assert.equal(answer.parts.length, 2);
  answer.take();
  await eventually("two more", () => answer.parts.length === 4);
  answer.cancel();
  assert.equal((await answer.ended).code, "stream.cancelled");
  assert.equal((await usage(id)).code, "stream.cancelled");
  const plain = await request(assistant, "intra365.mate.image-analyzer.image-analysis.describe-image", picture, { "X-User-Id": "alice" });
  assert.equal(plain.error, "stream.required");
});

test("over HTTP as Server-Sent Events, and as lines", async () => {
  const token = await platform.token(assistantKey);
  const url = `${platform.endpoints.gateway}/v1/mates/image-analyzer/call/image-analysis/describe-image`;
  const call = (accept) => fetch(url, { method: "POST", body: picture, headers: { authorization: `Bearer ${token}`, "x-user-id": "alice", accept } });
  const sse = await call("text/event-stream");
  assert.deepEqual([sse.status, sse.headers.get("content-type")], [200, "text/event-stream"]);
  const seen = events(await readBody(sse));
  assert.deepEqual(seen.map((one) => one.event), [...Array(17).fill("part"), "end"]);
  assert.deepEqual([seen[2].id, JSON.parse(seen[2].data).band, JSON.parse(seen[17].data).parts], ["3", 3, 17]);

  const lines = (await readBody(await call("application/x-ndjson"))).trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual([lines.length, lines[4].part, lines[4].data.band, lines[17].end, lines[17].parts], [18, 5, 5, "ok", 17]);

  const plain = await fetch(url.replace("describe", "analyze"), { method: "POST", body: picture, headers: { authorization: `Bearer ${token}`, "x-user-id": "alice", accept: "text/event-stream" } });
  assert.deepEqual(events(await readBody(plain)).map((one) => one.event), ["part", "end"], "a plain answer is one part");
  const refused = await fetch(url, { method: "POST", body: "hello", headers: { authorization: `Bearer ${token}`, "x-user-id": "alice", accept: "text/event-stream" } });
  assert.deepEqual([refused.status, (await refused.json()).code], [400, "image.not_a_picture"], "what is refused before the first part is refused as ever");
});

test("a revocation ends it over HTTP too, and a client that hangs up stops the Mate", async (t) => {
  const token = await platform.token(assistantKey);
  const url = `${platform.endpoints.gateway}/v1/mates/image-analyzer/call/image-analysis/describe-image`;
  const call = (id) => fetch(url, { method: "POST", body: picture, headers: { authorization: `Bearer ${token}`, "x-user-id": "alice", accept: "text/event-stream", ...traced(id) } });
  const left = trace();
  await readBody(await call(left), (text) => events(text).length < 3);
  const entry = await usage(left);
  assert.equal(entry.code, "stream.cancelled");
  assert.ok(entry.count < 17, `${entry.count} parts`);

  let replied;
  const text = await readBody(await call(trace()), (sofar) => {
    if (events(sofar).length >= 3 && replied === undefined) {
      replied = 0;
      revokeAll().then(() => (replied = performance.now()));
    }
    return true;
  });
  const seen = events(text);
  assert.deepEqual([seen.at(-1).event, JSON.parse(seen.at(-1).data).code, JSON.parse(seen.at(-1).data).status], ["error", "consent.revoked", 403]);
  t.diagnostic(`over HTTP it ended after part ${seen.length - 1} of 17`);
});

test("the sample assistant shows the parts as they come", async () => {
  await granted();
  const { stdout } = await promisify(execFile)(join(binaries, "assistant"), ["alice", join(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../../mates/pictures/harbour.png"), "--parts"], { env: { INTRA365_NATS_URL: platform.endpoints.nats, INTRA365_API_KEY: assistantKey }, encoding: "utf8" });
  const lines = stdout.trim().split("\n");
  assert.equal(lines.length, 18);
  assert.equal(JSON.parse(lines[7]).band, 8);
  assert.equal(lines[17], "in 17 parts");
});

/** Stops the platform's services, but not NATS, and takes a part every now and then meanwhile. */
async function withoutPlatform(ms, pauseMs) {
  const answer = openParts(assistant, "image-analyzer", "image-analysis.describe-image", picture, { user: "alice", window: 1, takes: false });
  await eventually("the first part", () => answer.parts.length === 1);
  platform.process.kill("SIGSTOP");
  const stopped = performance.now();
  const taking = setInterval(() => answer.take(), pauseMs);
  const woken = new Promise((done) => setTimeout(() => done(platform.process.kill("SIGCONT")), ms));
  await answer.ended;
  clearInterval(taking);
  await woken;
  return { answer, after: answer.parts.map((part) => part.at - stopped).filter((at) => at > 0), ended: answer.end.at - stopped };
}

test("a Mate that cannot ask the platform sends nothing after its lease, and gives up after two seconds", async (t) => {
  await granted();
  const { answer, after, ended } = await withoutPlatform(5000, 250);
  t.diagnostic(`the last part left ${after.at(-1)?.toFixed(0)} ms after the platform stopped, the answer ended with ${answer.end.code} after ${ended.toFixed(0)} ms`);
  assert.ok(after.every((at) => at < kBoundMs + 50), String(after));
  assert.equal(answer.end.code, "guard.lease_expired");
  assert.ok(ended > 2000 && ended < 3300);
});

test("a lease that is only behind pauses an answer and does not end it", async (t) => {
  await eventually("it is allowed", async () => (await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": "alice" })).error === undefined);
  const { answer, after } = await withoutPlatform(1800, 120);
  const longest = Math.max(...after.map((at, i) => at - (after[i - 1] ?? 0)));
  t.diagnostic(`longest pause ${longest.toFixed(0)} ms, then it went on`);
  assert.equal(answer.end.code, "ok");
  assert.ok(longest > 500);
});
