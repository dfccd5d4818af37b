// The mission's conversation, walked by programs that know nothing but the contract: a plain NATS client, and
// HTTP as the README shows it.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Svcm } from "@nats-io/services";
import { Platform, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let analyzer, alice, assistant, aliceKey, assistantKey;

before(async () => {
  await platform.start();
  aliceKey = platform.cli("user", "create", "alice").apiKey;
  assistantKey = platform.cli("mate", "create", "assistant").apiKey;
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

const question = { userId: "alice", mateId: "image-analyzer", scopes: ["image.analyze"], purpose: "ai-assistance" };
const call = (extra) => request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": "alice", ...extra });

test("over plain NATS: token, discover, verify, call, revoke", async () => {
  const none = await request(assistant, "intra365.consent.verify", question);
  assert.equal(none.reply.allowed, false);
  assert.equal(none.reply.code, "none");
  assert.equal((await call()).error, "consent.none");

  const granted = (await request(alice, "intra365.consent.grant", { userId: "alice", mateId: "image-analyzer", purposes: ["ai-assistance"], scopes: ["image.analyze"] })).reply;
  assert.equal(granted.granted, true);
  const verified = (await request(assistant, "intra365.consent.verify", { ...question, minEpoch: granted.epoch })).reply;
  assert.equal(verified.allowed, true);
  assert.equal(verified.consentId, granted.consentId);

  const answer = await call({ "X-Consent-Id": granted.consentId });
  assert.equal(answer.error, undefined);
  assert.deepEqual([answer.reply.format, answer.reply.width, answer.reply.height], ["png", 320, 200]);
  assert.match(answer.reply.perceptualHash, /^[0-9a-f]{16}$/);

  const revoked = (await request(alice, "intra365.consent.revoke", { consentId: granted.consentId })).reply;
  assert.ok(revoked.epoch > granted.epoch);
  await eventually("the refusal", async () => (await call()).error === "consent.revoked", revoked.propagation.boundMs);
});

test("over HTTP, as the README shows it", async () => {
  const assistantToken = await platform.token(assistantKey);
  const aliceToken = await platform.token(aliceKey);
  const found = await platform.http("GET", "/v1/mates?capability=image-analysis", { token: assistantToken });
  assert.equal(found.json.mates[0].mateId, "image-analyzer");

  const path = "/v1/mates/image-analyzer/call/image-analysis/analyze-image";
  const refused = await platform.http("POST", path, { token: assistantToken, body: picture, headers: { "X-User-Id": "alice" } });
  assert.equal(refused.status, 403);
  assert.match(refused.headers.get("content-type"), /problem\+json/);
  assert.match(refused.json.code, /^consent\./);
  assert.match(refused.json.traceId, /^[0-9a-f]{32}$/);

  const granted = await platform.http("POST", "/v1/consents", { token: aliceToken, body: { userId: "alice", mateId: "image-analyzer", purposes: ["ai-assistance"], scopes: ["image.analyze"] } });
  assert.equal(granted.status, 200, granted.text);
  const answer = await eventually("the answer", async () => {
    const reply = await platform.http("POST", path, { token: assistantToken, body: picture, headers: { "X-User-Id": "alice" } });
    return reply.status === 200 && reply;
  });
  assert.equal(answer.json.width, 320);
  const trace = answer.headers.get("traceparent").split("-")[1];
  await eventually("both audit entries", async () => {
    const audit = await platform.http("GET", `/v1/audit?traceId=${trace}`, { token: await platform.token(platform.adminKey) });
    const sources = audit.json.entries.map((entry) => `${entry.source} ${entry.action}`);
    return sources.includes("platform consent.verify") && sources.includes("mate:image-analyzer call");
  });
  const revoked = await platform.http("DELETE", `/v1/consents/${granted.json.consentId}`, { token: aliceToken });
  assert.equal(revoked.status, 200, revoked.text);
  const again = await platform.http("POST", path, { token: assistantToken, body: picture, headers: { "X-User-Id": "alice" } });
  assert.equal(again.json.code, "consent.revoked");
});

test("the standard service tools list and measure our services", async () => {
  const admin = await logIn(platform, platform.adminKey);
  const names = new Set();
  const stats = await new Svcm(admin.connection).client({ maxWait: 1000 }).stats();
  let requests = 0;
  for await (const service of stats) {
    names.add(service.name);
    for (const endpoint of service.endpoints ?? []) requests += endpoint.num_requests;
  }
  for (const name of ["intra365-sts", "intra365-registry", "intra365-consent", "intra365-policy", "intra365-audit", "image-analyzer"]) assert.ok(names.has(name), `${name} in ${[...names]}`);
  assert.ok(requests > 0);
  await admin.connection.close();
});

test("health, metrics and documents are served", async () => {
  assert.equal((await platform.http("GET", "/healthz")).status, 200);
  const ready = await platform.http("GET", "/readyz");
  assert.equal(ready.status, 200);
  assert.deepEqual(ready.json.dependencies, { nats: "up", postgres: "up", tokens: "up" });
  assert.match((await platform.http("GET", "/metrics")).text, /intra365_operations_total\{operation="consent.verify",outcome="ok"\} [1-9]/);
  assert.equal((await platform.http("GET", "/openapi.json")).json.openapi, "3.1.0");
  assert.equal((await platform.http("GET", "/asyncapi.json")).json.asyncapi, "3.0.0");
  assert.match((await platform.http("GET", "/docs")).text, /swagger-ui/);
  assert.equal((await platform.http("GET", "/docs/swagger-ui-bundle.js")).status, 200);
  const jwks = await platform.http("GET", "/.well-known/jwks.json");
  assert.equal(jwks.json.keys[0].crv, "Ed25519");
  assert.equal((await platform.http("GET", "/.well-known/openid-configuration")).json.jwks_uri, platform.endpoints.gateway + "/.well-known/jwks.json");
});
