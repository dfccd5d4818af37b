// Opting out of having one's data sold or shared: by the browser's signal, on a device without an account, and by request.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { Platform, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let analyzer, assistant, analyzerKey, assistantKey, aliceKey, bobKey;

const grant = (key, purpose) => platform.cliAs(key, "consent", "grant", "--mate", "image-analyzer", "--scopes", "image.analyze", "--purposes", purpose);
const standing = (key) => Object.fromEntries(platform.cliAs(key, "consent", "list").consents.map((one) => [one.purposes.join(), one.status]));
const call = async (user, headers = {}) => {
  const reply = await platform.http("POST", "/v1/mates/image-analyzer/call/image-analysis/analyze-image", {
    token: await platform.token(assistantKey),
    body: picture,
    headers: { "X-User-Id": user, ...headers },
  });
  return reply.status === 200 ? "done" : reply.json.code;
};
const choose = (choice, headers = {}) => fetch(`${platform.endpoints.gateway}/privacy/opt-out`, { method: "POST", body: `choice=${choice}`, redirect: "manual", headers });

before(async () => {
  await platform.start();
  aliceKey = platform.cli("user", "create", "alice").apiKey;
  bobKey = platform.cli("user", "create", "bob").apiKey;
  assistantKey = platform.cli("mate", "create", "assistant").apiKey;
  analyzerKey = platform.cli("mate", "create", "image-analyzer").apiKey;
  analyzer = platform.analyzer(analyzerKey);
  assistant = await logIn(platform, assistantKey);
  await eventually("the analyzer's registration", async () => (await request(assistant, "intra365.registry.discover", { capability: "image-analysis" })).reply.mates?.length === 1);
  for (const key of [aliceKey, bobKey]) {
    grant(key, "ai-assistance"); // what the analyzer uses pictures for
    grant(key, "research");
  }
  await eventually("the analyzer's knowledge", async () => (await call("alice")) === "done" && (await call("bob")) === "done");
  assert.equal(await call("alice", { "Sec-GPC": "1" }), "done", "nothing sells or shares yet");
  platform.cli("consent", "catalogue", "purpose", "ai-assistance", "--description", "Shared with partners", "--opt-out");
});

after(async () => {
  await assistant?.connection.close();
  analyzer?.kill("SIGTERM");
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("a request with the signal uses no data for such a purpose, whatever was consented to; only \"1\" is a signal", async () => {
  assert.equal(await call("alice", { "Sec-GPC": "1" }), "consent.opted_out");
  for (const other of ["0", "true", "11"]) assert.equal(await call("alice", { "Sec-GPC": other }), "done", other);
  assert.equal(await call("alice"), "done");
});

test("of a person who is signed in it is recorded once, and ends the use everywhere", async () => {
  const token = await platform.token(aliceKey);
  const seen = () => platform.http("GET", "/v1/consents", { token, headers: { "Sec-GPC": "1" } });
  assert.equal((await seen()).status, 200);
  assert.deepEqual(standing(aliceKey), { "ai-assistance": "revoked", research: "active" });
  assert.equal(await call("alice"), "consent.purpose_mismatch", "without the signal, too: what is left is for research");
  const direct = await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": "alice" });
  assert.equal(direct.error, "consent.purpose_mismatch", "and not past the gateway either");

  const again = grant(aliceKey, "ai-assistance");
  assert.equal((await seen()).status, 200);
  await platform.kill();
  analyzer.kill("SIGKILL");
  await platform.start();
  analyzer = platform.analyzer(analyzerKey);
  assert.equal((await platform.http("GET", "/v1/consents", { token: await platform.token(aliceKey), headers: { "Sec-GPC": "1" } })).status, 200);
  assert.equal(platform.cliAs(aliceKey, "consent", "list").consents.find((one) => one.consentId === again.consentId).status, "active", "what they allow afterwards, they have allowed");
  await eventually("the analyzer's knowledge", async () => (await call("alice")) === "done");
  assert.equal(await call("alice", { "Sec-GPC": "1" }), "consent.opted_out", "but not from a browser that says no");
});

test("a device opts out and back in without an account, and is recognised by nothing", async () => {
  const out = await choose("out");
  assert.deepEqual([out.status, out.headers.get("location")], [303, "/privacy/opt-out"]);
  const cookie = out.headers.get("set-cookie");
  assert.match(cookie, /^intra365-opt-out=1; Max-Age=\d+; Path=\/; HttpOnly; SameSite=Lax$/);
  assert.equal((await choose("out")).headers.get("set-cookie"), cookie, "the same for everybody");
  const device = { Cookie: "theme=dark; intra365-opt-out=1" };
  assert.equal(await call("bob", { Cookie: "intra365-opt-out=0; other=1" }), "done");
  assert.equal(await call("bob", device), "consent.opted_out");

  const page = async (headers) => (await platform.http("GET", "/privacy/opt-out", { headers })).text;
  assert.match(await page({}), /You have not opted out[^]*value="out"/);
  assert.match(await page(device), /You have opted out on this device[^]*value="in"/);
  assert.match(await page({ "Sec-GPC": "1" }), /Global Privacy Control signal/);
  assert.doesNotMatch(await page({}), /<script/);

  assert.equal((await choose("in", { "Sec-Fetch-Site": "cross-site" })).status, 403, "no other site takes it back");
  assert.match((await choose("in")).headers.get("set-cookie"), /^intra365-opt-out=; Max-Age=0;/);
  assert.equal((await choose("perhaps")).status, 400);

  const token = await platform.token(bobKey);
  assert.equal((await platform.http("GET", "/v1/consents", { token, headers: device })).status, 200);
  assert.equal(standing(bobKey)["ai-assistance"], "revoked", "signed in with it, it holds for the account");
});

/** Registers the analyzer anew, as whoever operates it would. */
const register = async (dataAccess) => {
  const admin = await logIn(platform, platform.adminKey);
  const { error, reply } = await request(admin, "intra365.registry.register", { mateId: "image-analyzer", name: "Image analyzer", type: "service", version: "1.0.0", capabilities: ["image-analysis"], dataAccess });
  assert.equal(error, undefined, JSON.stringify(reply));
  await admin.connection.close();
};

test("a signal holds for what the data are used for in the end, whatever the request says it is for", async () => {
  const eveKey = platform.cli("user", "create", "eve").apiKey;
  platform.cliAs(eveKey, "consent", "grant", "--mate", "image-analyzer", "--scopes", "image.analyze", "--purposes", "ai-assistance,research");
  const device = { Cookie: "intra365-opt-out=1" };
  await eventually("the analyzer's knowledge", async () => (await call("eve")) === "done");
  assert.equal(await call("eve", { "X-Purpose": "research", ...device }), "consent.purpose_mismatch", "the analyzer registers no such purpose");
  await register({ requiredScopes: ["image.analyze"], purposes: ["research", "ai-assistance"] });
  assert.equal(await call("eve", device), "consent.opted_out", "it may be used for either");
  assert.equal(await call("eve", { "X-Purpose": "research" }), "done");
  assert.equal(await call("eve", { "X-Purpose": "research", ...device }), "consent.opted_out", "the analyzer knows better what it uses pictures for");
  await register({ requiredScopes: ["image.analyze"], purposes: [] });
  assert.equal(await call("eve", { "X-Purpose": "research" }), "done");
  assert.equal(await call("eve", { "X-Purpose": "research", ...device }), "consent.opted_out", "who registers no purpose refuses it all the same");
  await register({ requiredScopes: ["image.analyze"], purposes: ["ai-assistance"] });
});

test("a Mate refuses what the opt-out of a request names, and nothing else", async () => {
  const caller = await logIn(platform, assistantKey); // the platform has been restarted
  const analyze = (optOut) => request(caller, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": "eve", ...(optOut === undefined ? {} : { "Intra365-Opt-Out": optOut }) });
  for (const forbidding of ["ai-assistance", "sale, ai-assistance", "*"]) assert.equal((await analyze(forbidding)).error, "consent.opted_out", forbidding);
  for (const other of [undefined, "", "research,sale", "ai"]) assert.equal((await analyze(other)).error, undefined, other);
  await caller.connection.close();
});

test("a signal that cannot be recorded yet keeps nobody from anything else, and is recorded later", async () => {
  const key = platform.cli("user", "create", "frida").apiKey;
  grant(key, "ai-assistance");
  const token = await platform.token(key);
  const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-qAtX", "-c", text]);
  sql("revoke insert on intra365.consent_opt_outs from intra365_service");
  try {
    for (const path of ["/v1/consents", "/v1/mates"]) assert.equal((await platform.http("GET", path, { token, headers: { "Sec-GPC": "1" } })).status, 200, path);
    assert.equal(await call("frida", { "Sec-GPC": "1" }), "consent.opted_out", "but such a use is refused");
  } finally {
    sql("grant insert on intra365.consent_opt_outs to intra365_service");
  }
  await eventually("the record", async () => {
    assert.equal((await platform.http("GET", "/v1/mates", { token, headers: { "Sec-GPC": "1" } })).status, 200);
    return String(sql("select count(*) from intra365.consent_opt_outs where user_id = 'frida'")).trim() === "1";
  });
});

test("it can be asked for, once for each purpose, and by nobody else", async () => {
  const carolKey = platform.cli("user", "create", "carol").apiKey;
  grant(carolKey, "ai-assistance");
  const first = platform.cliAs(carolKey, "consent", "opt-out");
  assert.deepEqual([first.purposes, first.consents.map((one) => one.status)], [["ai-assistance"], ["revoked"]]);
  assert.deepEqual(platform.cliAs(carolKey, "consent", "opt-out"), { purposes: ["ai-assistance"], consents: [] });
  platform.cli("consent", "catalogue", "purpose", "profiling", "--opt-out");
  await eventually("the new purpose", () => platform.cliAs(carolKey, "consent", "opt-out").purposes.length === 2);
  const other = await platform.http("POST", "/v1/consents/opt-out", { token: await platform.token(bobKey), body: { userId: "carol", method: "request" } });
  assert.equal(other.json.code, "consent.not_the_person");
});

test("it stands above what groups allow later: for every Mate, in memory, in the truth and looking back", async () => {
  const [admin, asker] = [await logIn(platform, platform.adminKey), await logIn(platform, assistantKey)];
  const must = async (session, operation, body) => {
    const { reply, error } = await request(session, `intra365.consent.${operation}`, body);
    assert.equal(error, undefined, JSON.stringify(reply));
    return reply;
  };
  const keys = {}, people = {};
  for (const name of ["dora", "emil", "fay"]) {
    keys[name] = platform.cli("user", "create", name).apiKey;
    people[name] = await logIn(platform, keys[name]);
  }
  // More such purposes than one objection takes, under a catalogue that knows nothing else.
  await must(admin, "define_purpose", { purpose: "sale", description: "Sold", optOut: true, inheritable: true });
  for (let n = 0; n < 60; ++n) await must(admin, "define_purpose", { purpose: `share.p${n}`, description: "Shared", optOut: true, inheritable: true });
  await must(admin, "define_purpose", { purpose: "share", description: "Shared", inheritable: true });
  const ask = (userId, mateId, purpose, strict) => must(asker, "verify", { userId, mateId, scopes: ["profile"], purpose, strict });
  const everywhere = async (userId, mateId, purpose) => {
    const strict = await ask(userId, mateId, purpose, true);
    const fast = await eventually("an answer from memory", async () => {
      const one = await ask(userId, mateId, purpose);
      return one.cacheAgeMs > 0 ? one : undefined;
    });
    const past = await must(admin, "as_of", { userId, mateId, scopes: ["profile"], purpose });
    assert.deepEqual([fast.code, past.code], [strict.code, strict.code]);
    return [strict.code, strict.inheritedFrom ?? "own"].join(" ");
  };
  const sold = { purposes: ["sale.partners", "share"], scopes: ["profile", "image"] };
  await must(admin, "grant_inherited", { ...sold, mateId: "broker-0" });
  assert.equal(await everywhere("dora", "broker-0", "sale.partners"), "granted organisation");

  await eventually("the catalogue", async () => platform.cliAs(keys.dora, "consent", "catalogue", "show").purposes.some((one) => one.purpose === "share"));
  const out = platform.cliAs(keys.dora, "consent", "opt-out");
  assert.ok(["sale", "share.p0", "share.p59"].every((purpose) => out.purposes.includes(purpose)));
  assert.equal(await everywhere("dora", "broker-0", "sale.partners"), "refused own");
  assert.equal(await everywhere("dora", "broker-0", "share.p59"), "refused own");

  const before = new Date().toISOString();
  const given = await must(admin, "grant_inherited", { ...sold, mateId: "broker-1", delegationDepth: 1 });
  assert.equal(await everywhere("dora", "broker-1", "sale.partners"), "refused own");
  assert.equal(await everywhere("dora", "broker-1", "share.p7"), "refused own");
  assert.equal(await everywhere("emil", "broker-1", "sale.partners"), "granted organisation");
  const then = await must(admin, "as_of", { userId: "dora", mateId: "broker-1", scopes: ["profile"], purpose: "sale.partners", validAt: given.grantedAt });
  assert.equal(then.allowed, false, "not for the moment in which it was given either");
  assert.equal((await must(admin, "as_of", { userId: "dora", mateId: "broker-1", scopes: ["profile"], purpose: "sale.partners", validAt: before, knownAt: before })).code, "none");

  const broker = await logIn(platform, platform.cli("mate", "create", "broker-1").apiKey);
  await must(broker, "delegate", { consentId: given.consentId, mateId: "broker-2" });
  assert.equal(await everywhere("dora", "broker-2", "sale.partners"), "refused own", "nor where it is handed on");
  assert.equal(await everywhere("emil", "broker-2", "sale.partners"), "granted organisation");
  const whole = await must(broker, "sync", { mateId: "broker-1", mateEpoch: 0, whole: true });
  const epochs = whole.consents.map((one) => [one.userId === "dora" ? "no" : "yes", one.mateEpoch]).sort((a, b) => a[1] - b[1]);
  assert.equal(epochs.at(-1)[0], "yes", "whoever follows the Mate's epochs sees every no before the yes");

  // Again, and under a closed catalogue that has forgotten the names: nothing more is written down.
  await must(admin, "set_catalogue", { closed: true });
  const refusals = async () => (await must(people.dora, "query", { mateId: "broker-1", limit: 200 })).consents.length;
  const count = await refusals();
  await must(people.dora, "object", { userId: "dora", purposes: ["sale"] });
  assert.equal(await refusals(), count);
  const objected = await must(people.fay, "object", { userId: "fay", purposes: ["sale.partners"] });
  assert.deepEqual(objected.consents.map((one) => [one.mateId, one.status]).sort(), [["broker-0", "refused"], ["broker-1", "refused"], ["broker-2", "refused"]]);
  await must(admin, "set_catalogue", { closed: false });

  // A household that allows it speaks for nobody who objects, from their first moment in it.
  const { householdId } = await must(people.emil, "found_household", {});
  await must(people.emil, "grant_inherited", { ...sold, mateId: "butler", householdId });
  await must(people.emil, "invite_to_household", { householdId, userId: "fay" });
  assert.equal((await request(people.dora, "intra365.consent.join_household", { householdId })).error, "consent.unknown_household");
  assert.equal((await must(people.dora, "query", { mateId: "butler" })).consents.length, 0, "who is not invited refuses nothing");
  await must(people.fay, "join_household", { householdId });
  assert.equal(await everywhere("fay", "butler", "sale.partners"), "refused own");
  assert.equal(await everywhere("fay", "butler", "share"), "granted household");
  // What is paused when somebody objects is not theirs when it goes on.
  const paused = await must(people.emil, "grant_inherited", { purposes: ["share"], scopes: ["profile"], mateId: "cook", householdId });
  await must(people.emil, "suspend", { consentId: paused.consentId });
  await must(people.fay, "object", { userId: "fay", purposes: ["share.p1"] });
  await must(people.emil, "resume", { consentId: paused.consentId });
  assert.equal(await everywhere("fay", "cook", "share.p1"), "refused own");
  assert.equal(await everywhere("fay", "cook", "share.p2"), "granted household");

  // Their own yes stands, for that Mate.
  await must(people.dora, "grant", { userId: "dora", mateId: "broker-1", purposes: ["sale"], scopes: ["profile"] });
  assert.equal(await everywhere("dora", "broker-1", "sale.partners"), "granted own");
  for (const session of [admin, asker, broker, ...Object.values(people)]) await session.connection.close();
});

test("people who object while their organisation allows are asked by nobody, whoever came first", async () => {
  const [admin, asker] = [await logIn(platform, platform.adminKey), await logIn(platform, assistantKey)];
  const crowd = [];
  for (let n = 0; n < 8; ++n) crowd.push(await logIn(platform, platform.cli("user", "create", `crowd${n}`).apiKey));
  const say = (session, operation, body) => request(session, `intra365.consent.${operation}`, body);
  for (let round = 0; round < 5; ++round) {
    const purpose = `sale.round${round}`;
    const answers = await Promise.all([
      ...[0, 1, 2].map((n) => say(admin, "grant_inherited", { purposes: [purpose], scopes: ["profile"], mateId: `market-${round}-${n}` })),
      ...crowd.map((one) => say(one, "object", { userId: one.id, purposes: [purpose] })),
    ]);
    assert.deepEqual(answers.map((one) => one.error).filter(Boolean), []);
    for (const one of crowd) {
      for (const n of [0, 1, 2]) {
        const { reply } = await say(asker, "verify", { userId: one.id, mateId: `market-${round}-${n}`, scopes: ["profile"], purpose, strict: true });
        assert.equal(reply.code, "refused", JSON.stringify(reply));
      }
    }
  }
  for (const session of [admin, asker, ...crowd]) await session.connection.close();
});

test("the site says that it heeds the signal", async () => {
  const { json } = await platform.http("GET", "/.well-known/gpc.json");
  assert.equal(json.gpc, true);
  assert.match(json.lastUpdate, /^\d{4}-\d{2}-\d{2}$/);
});
