// Bad input: each case ends in a clear error with a stable code.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { after, before, test } from "node:test";
import { connect, headers as natsHeaders, nkeys } from "@nats-io/transport-node";
import { Platform, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let assistant, alice, admin, token;

before(async () => {
  await platform.start();
  assistant = await logIn(platform, platform.cli("mate", "create", "assistant").apiKey);
  alice = await logIn(platform, platform.cli("user", "create", "alice").apiKey);
  admin = await logIn(platform, platform.adminKey);
  token = assistant.token;
});

after(async () => {
  for (const session of [assistant, alice, admin]) await session?.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

const verify = { userId: "alice", mateId: "assistant", scopes: ["profile.read"], purpose: "analytics" };
const send = (body, session = assistant, extra = {}) => request(session, "intra365.consent.verify", body, extra);

test("malformed, unknown, missing, mistyped and oversized requests are named", async () => {
  const raw = (text) => request(assistant, "intra365.consent.verify", Buffer.from(text));
  assert.equal((await raw("{")).error, "request.malformed");
  assert.equal((await raw('{"userId":"a","userId":"b"}')).error, "request.duplicate_field");
  assert.equal((await raw("[".repeat(64) + "]".repeat(64))).error, "request.too_deep");
  const unknown = await send({ ...verify, colour: 1 });
  assert.equal(unknown.error, "request.unknown_field");
  assert.match(unknown.reply.error.message, /colour/);
  assert.equal((await send({ ...verify, purpose: undefined })).error, "request.missing_field");
  assert.equal((await send({ ...verify, scopes: "profile.read" })).error, "request.wrong_type");
  assert.equal((await send({ ...verify, mateId: "a.b" })).error, "subject.bad_token");
  assert.equal((await raw(" ".repeat(800 * 1024))).error, "request.too_large");
  assert.equal((await send(verify, assistant, { "X-Filler": "x".repeat(20_000) })).error, "request.headers_too_large");
});

test("no, forged, foreign and confused tokens are refused", async () => {
  const as = (bearer) => request({ connection: assistant.connection, token: bearer }, "intra365.consent.verify", verify);
  const bare = await assistant.connection.request("intra365.consent.verify", JSON.stringify(verify), { timeout: 5000 });
  assert.equal(bare.json().error.code, "token.missing");
  const [head, body, signature] = token.split(".");
  assert.equal((await as(`${head}.${body}.${"A".repeat(86)}`)).error, "token.bad_signature");
  const claims = JSON.parse(Buffer.from(body, "base64url"));
  const altered = Buffer.from(JSON.stringify({ ...claims, sub: "admin", roles: ["operator"] })).toString("base64url");
  assert.equal((await as(`${head}.${altered}.${signature}`)).error, "token.bad_signature");
  const kid = JSON.parse(Buffer.from(head, "base64url")).kid;
  const header = (alg) => Buffer.from(JSON.stringify({ alg, typ: "at+jwt", kid })).toString("base64url");
  assert.match((await as(`${header("none")}.${body}.`)).error, /^token\./);
  const jwks = (await platform.http("GET", "/.well-known/jwks.json")).json.keys[0];
  const forged = `${header("HS256")}.${body}`;
  const mac = createHmac("sha256", Buffer.from(jwks.x, "base64url")).update(forged).digest("base64url");
  assert.match((await as(`${forged}.${mac}`)).error, /^token\./);

  const tenant = platform.cli("tenant", "create", "acme");
  const stranger = await logIn(platform, tenant.apiKey);
  assert.equal((await request({ connection: assistant.connection, token: stranger.token }, "intra365.consent.verify", verify)).error, "token.wrong_tenant");
  assert.equal((await request(stranger, "intra365.auth.token.validate", { token })).reply.active, false);
  await stranger.connection.close();
});

test("a Mate cannot be another: registration, inbox, subjects", async () => {
  const mate = { mateId: "admin", name: "Impostor", type: "service", capabilities: [], version: "1.0.0", endpoints: {} };
  assert.equal((await request(assistant, "intra365.registry.register", mate)).error, "registry.not_this_mate");
  const foreign = { name: "Thief", type: "service", capabilities: [], version: "1.0.0", endpoints: { "nats.subjects": ["intra365.mate.other.*"] } };
  assert.equal((await request(assistant, "intra365.registry.register", foreign)).error, "registry.foreign_subject");
  for (const subject of ["_INBOX_alice.>", "intra365.mate.image-analyzer.>", ">", "$SYS.>", "acct.>"]) {
    const subscription = assistant.connection.subscribe(subject);
    await assert.rejects(async () => {
      for await (const unexpected of subscription) throw new Error(`got ${unexpected.subject}`);
    }, /permission/i, subject);
  }
});

test("a forged Nats-Request-Info changes nothing", async () => {
  const headers = { "Nats-Request-Info": JSON.stringify({ acc: "ADMIN", user: "UADMIN" }), "Intra365-Service": "gateway", "Intra365-Tenant": "acme" };
  const reply = await send(verify, assistant, headers);
  assert.equal(reply.error, undefined);
  assert.equal(reply.reply.allowed, false);
});

test("only the person grants, and only for a time to come", async () => {
  const grant = { userId: "alice", mateId: "assistant", purposes: ["analytics"], scopes: ["profile.read"] };
  assert.equal((await request(assistant, "intra365.consent.grant", grant)).error, "consent.not_the_person");
  assert.equal((await request(admin, "intra365.consent.grant", grant)).error, "consent.not_the_person");
  assert.equal((await request(alice, "intra365.consent.grant", { ...grant, expiresAt: "2020-01-01T00:00:00Z" })).error, "consent.expiry_in_the_past");
  assert.equal((await request(alice, "intra365.consent.grant", { ...grant, scopes: [] })).error, "request.bad_value");
  const granted = (await request(alice, "intra365.consent.grant", grant)).reply;
  assert.equal((await request(assistant, "intra365.consent.revoke", { consentId: granted.consentId })).error, "consent.not_the_person");
  assert.equal((await send({ ...verify, minEpoch: granted.epoch + 1000 })).error, "consent.stale");
});

test("wrong keys do not log in, a guest may only ask for a token", async () => {
  const wrong = await platform.http("POST", "/v1/auth/token", { body: { provider: "api-key", credentials: { apiKey: "i365_live_nonsense" } } });
  assert.equal(wrong.status, 401);
  assert.equal(wrong.json.code, "auth.bad_credentials");
  await assert.rejects(connect({ servers: platform.endpoints.nats, user: "api-key", pass: "i365_live_nonsense", reconnect: false, timeout: 5000 }), /authorization/i);
  const guest = await connect({ servers: platform.endpoints.nats, inboxPrefix: "_INBOX_guest.abc", reconnect: false });
  const headers = natsHeaders();
  headers.set("Authorization", `Bearer ${token}`);
  await assert.rejects(guest.request("intra365.consent.verify", JSON.stringify(verify), { headers, timeout: 1000 }));
  await guest.close();
});

test("a key bound to an nkey needs its signature of this very connection's nonce", async () => {
  const pair = nkeys.createUser();
  const key = (await request(admin, "intra365.auth.key.create", { mateId: "assistant", name: "device", nkey: pair.getPublicKey() })).reply.apiKey;
  const signed = (nonce, by = pair) => Buffer.from(by.sign(Buffer.from(nonce))).toString("base64url");
  const logInWith = (proof) =>
    connect({ servers: platform.endpoints.nats, reconnect: false, inboxPrefix: "_INBOX_assistant", authenticator: (nonce) => ({ user: "api-key", pass: key, ...proof(nonce) }) });

  let seen;
  const good = await logInWith((nonce) => (seen = { nkey: pair.getPublicKey(), sig: signed(nonce) }));
  await good.flush();
  await good.close();
  const other = nkeys.createUser();
  const refused = {
    replayed: () => seen,
    missing: () => ({}),
    "another key's": (nonce) => ({ nkey: other.getPublicKey(), sig: signed(nonce, other) }),
    "another key's under this name": (nonce) => ({ nkey: pair.getPublicKey(), sig: signed(nonce, other) }),
  };
  for (const [what, proof] of Object.entries(refused)) await assert.rejects(logInWith(proof), /authorization/i, what);
  await assert.rejects(platform.token(key), /auth\.nkey_required/, "over a connection that proved nothing");
});

test("a revoked Mate's token is dead and its connection closed", async () => {
  const key = platform.cli("mate", "create", "doomed").apiKey;
  const doomed = await logIn(platform, key);
  assert.equal((await send(verify, doomed)).error, undefined);
  const closed = (async () => {
    for await (const status of doomed.connection.status()) if (status.type === "disconnect") return true;
  })();
  const revoked = (await request(admin, "intra365.auth.token.revoke", { mateId: "doomed" })).reply;
  assert.equal(revoked.revoked, true);
  assert.ok(revoked.connectionsClosed >= 1);
  assert.ok(await closed);
  assert.equal((await request({ connection: assistant.connection, token: doomed.token }, "intra365.consent.verify", verify)).error, "token.revoked");
  await doomed.connection.close();
});

test("policies: a deny rule whose attribute is missing denies", async () => {
  const policy = (effect, conditions) => ({ effect, subjects: ["mate:x"], resources: ["doc:y"], actions: ["read"], conditions });
  const created = await request(admin, "intra365.policy.create", { name: "Documents", type: "data-access", rules: [policy("allow", {}), policy("deny", { "context.blocked": true })] });
  assert.equal(created.error, undefined);
  const ask = async (context) => (await request(admin, "intra365.policy.evaluate", { subject: "mate:x", action: "read", resource: "doc:y", context })).reply.decision;
  assert.equal(await ask({ blocked: false }), "allow");
  assert.equal(await ask({ blocked: true }), "deny");
  assert.equal(await ask({}), "deny");
  assert.equal((await request(admin, "intra365.policy.create", { name: "Bad", type: "x", rules: [{ ...policy("allow", {}), resources: ["a*b"] }] })).error, "policy.invalid");
  // The server itself keeps a Mate from what is the operator's.
  await assert.rejects(request(assistant, "intra365.policy.delete", { policyId: created.reply.policyId }), /permission/i);
});

test("HTTP: wrong paths, methods and bodies are told apart", async () => {
  assert.equal((await platform.http("GET", "/nowhere")).json.code, "request.unknown_operation");
  const method = await platform.http("PUT", "/v1/mates", { token });
  assert.equal(method.status, 405);
  assert.match(method.headers.get("allow"), /GET/);
  assert.equal((await platform.http("GET", "/v1/mates")).status, 401);
  assert.equal((await platform.http("GET", "/v1/mates?limit=many", { token })).json.code, "request.wrong_type");
  assert.equal((await platform.http("GET", "/v1/mates?colour=red", { token })).json.code, "request.unknown_field");
  assert.equal((await platform.http("POST", "/v1/consents", { token, body: Buffer.from("{") })).json.code, "request.malformed");
  assert.equal((await platform.http("GET", "/v1/tenants", { token })).json.code, "access.role_required");
});
