// The life of consents, as a person lives it through NATS, HTTP and the command line.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Platform, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let alice, mate, admin, aliceKey;

before(async () => {
  await platform.start();
  aliceKey = platform.cli("user", "create", "alice").apiKey;
  alice = await logIn(platform, aliceKey);
  mate = await logIn(platform, platform.cli("mate", "create", "reader").apiKey);
  admin = await logIn(platform, platform.adminKey);
});

after(async () => {
  for (const session of [alice, mate, admin]) await session?.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-Atc", text], { encoding: "utf8" }).trim();
const ask = async (session, operation, body) => {
  const answer = await request(session, `intra365.consent.${operation}`, body);
  return answer.error ? { error: answer.error, message: JSON.stringify(answer) } : answer.reply;
};
const wish = (scopes = ["profile", "image.analyze"], purposes = ["analytics"]) => ({ userId: "alice", mateId: "reader", purposes, scopes });
const verify = async (scope, purpose = "analytics") => (await ask(mate, "verify", { userId: "alice", mateId: "reader", scopes: [scope], purpose })).code;
const revokeAll = () => ask(alice, "revoke", { mateId: "reader" });

test("refuse, grant, narrow, suspend, resume, renew, revoke: each is decided on at once and kept in the history", async () => {
  const refused = await ask(alice, "refuse", { ...wish(), method: "console", noticeVersion: "n1" });
  assert.equal(refused.status, "refused");
  assert.equal(await verify("profile.read"), "refused");

  const granted = await ask(alice, "grant", { ...wish(), expiresAt: new Date(Date.now() + 3600_000).toISOString() });
  assert.deepEqual([granted.status, granted.revision], ["active", 1]);
  assert.equal(await verify("profile.read"), "granted");
  assert.equal(await verify("profile.read", "analytics.web"), "granted");

  const { consentId } = granted;
  assert.equal((await ask(alice, "narrow", { consentId, scopes: ["health"] })).error, "consent.not_narrower");
  assert.equal((await ask(alice, "narrow", { consentId, scopes: ["profile.read"] })).revision, 2);
  assert.equal(await verify("image.analyze"), "scope_missing");
  assert.equal((await ask(alice, "suspend", { consentId })).status, "suspended");
  assert.equal(await verify("profile.read"), "suspended");
  assert.equal((await ask(alice, "suspend", { consentId })).error, "consent.wrong_state");
  assert.equal((await ask(alice, "resume", { consentId })).status, "active");
  assert.equal(await verify("profile.read"), "granted");
  const renewed = await ask(alice, "renew", { consentId });
  assert.ok(Date.parse(renewed.expiresAt) > Date.now() + 360 * 86400_000, "a year, by the catalogue");
  assert.equal((await revokeAll()).consents.length, 1);
  assert.equal((await ask(alice, "renew", { consentId })).error, "consent.wrong_state");

  const history = (await ask(alice, "audit", { consentId })).entries;
  assert.deepEqual(history.map((entry) => [entry.event, entry.revision]), [["granted", 1], ["narrowed", 2], ["suspended", 3], ["resumed", 4], ["renewed", 5], ["revoked", 6]]);
});

test("a Mate and the operator change nothing, and nobody looks back at what is not theirs", async () => {
  const { consentId } = await ask(alice, "grant", wish());
  for (const session of [mate, admin]) {
    for (const operation of ["narrow", "renew", "suspend", "resume"]) {
      const error = (await ask(session, operation, { consentId, ...(operation === "narrow" ? { scopes: ["profile"] } : {}) })).error;
      assert.ok(["consent.not_the_person", "consent.unknown"].includes(error), `${operation}: ${error}`);
    }
    assert.equal((await ask(session, "refuse", wish())).error, "consent.not_the_person");
  }
  assert.equal((await ask(mate, "as_of", { userId: "alice", mateId: "other", scopes: ["a"], purpose: "analytics" })).error, "access.not_yours");
  await assert.rejects(ask(mate, "set_catalogue", { closed: true }), /Permissions Violation/);
  await revokeAll();
});

test("of many writers who saw the same revision one wins, the others learn the current one; a revocation always wins", async () => {
  const { consentId } = await ask(alice, "grant", wish());
  const answers = await Promise.all(Array.from({ length: 12 }, (_, n) => ask(alice, "narrow", { consentId, scopes: [`profile.part${n}`], revision: 1 })));
  const won = answers.filter((answer) => !answer.error);
  assert.equal(won.length, 1);
  for (const answer of answers.filter((one) => one.error)) {
    assert.equal(answer.error, "consent.conflict");
    assert.match(answer.message, /current revision is 2/);
  }
  const storm = Array.from({ length: 10 }, (_, n) => ask(alice, n % 2 ? "suspend" : "resume", { consentId }));
  const revoked = await ask(alice, "revoke", { consentId });
  await Promise.all(storm);
  assert.equal(revoked.consents?.[0].status, "revoked", JSON.stringify(revoked));
  assert.equal((await ask(alice, "query", { mateId: "reader" })).consents.find((one) => one.consentId === consentId).status, "revoked");
});

test("an objection takes a purpose from every consent, whoever has it", async () => {
  const mixed = await ask(alice, "grant", wish(["profile"], ["analytics", "marketing.email"]));
  const only = await ask(alice, "grant", { ...wish(["profile"], ["marketing"]), mateId: "other" });
  const apart = await ask(alice, "grant", wish(["calendar"], ["billing"]));
  const reply = platform.cliAs(aliceKey, "consent", "object", "--purposes", "marketing");
  const after = Object.fromEntries(reply.consents.map((one) => [one.consentId, `${one.status} ${one.purposes}`]));
  assert.deepEqual(after, { [mixed.consentId]: "active analytics", [only.consentId]: "revoked marketing" });
  assert.equal(await verify("profile", "marketing.email"), "purpose_mismatch");
  assert.equal(await verify("calendar", "billing"), "granted");
  assert.deepEqual((await ask(alice, "object", { userId: "alice", purposes: ["marketing"] })).consents, []);
  assert.equal((await ask(admin, "object", { userId: "alice", purposes: ["billing"] })).error, "consent.not_the_person");
  assert.equal((await ask(alice, "query", {})).consents.find((one) => one.consentId === apart.consentId).status, "active");
  await revokeAll();
});

test("of yes and no the newer counts: at once, in the truth, and looking back", async () => {
  const question = { userId: "alice", mateId: "reader", scopes: ["contacts.read"], purpose: "marketing.email" };
  const codes = async () => {
    const strict = await ask(mate, "verify", { ...question, strict: true });
    const past = await ask(mate, "as_of", question);
    return [await verify("contacts.read", "marketing.email"), strict.code, past.code];
  };
  const yes = (scopes, purposes) => ask(alice, "grant", wish(scopes, purposes));
  const mixed = await yes(["contacts", "diary"], ["marketing", "billing"]);
  const some = await yes(["contacts", "diary"], ["marketing.email"]);
  const only = await yes(["contacts.read"], ["marketing.email"]);
  await ask(alice, "suspend", { consentId: only.consentId });
  assert.deepEqual(await codes(), ["granted", "granted", "granted"]);
  const no = await ask(alice, "refuse", wish(["contacts"], ["marketing"]));
  assert.equal(no.status, "refused");
  for (const code of await codes()) assert.notEqual(code, "granted");
  const left = Object.fromEntries((await ask(alice, "query", { mateId: "reader" })).consents.map((one) => [one.consentId, `${one.status} ${one.purposes} ${one.scopes}`]));
  assert.deepEqual([left[mixed.consentId], left[some.consentId], left[only.consentId]], ["active billing contacts,diary", "active marketing.email diary", "revoked marketing.email contacts.read"]);
  assert.ok((await ask(alice, "audit", { consentId: some.consentId })).entries.at(-1).epoch > no.epoch, "the no stands before what it takes");
  assert.equal(await verify("contacts", "billing"), "granted", "what the no is not about stays");
  assert.equal((await ask(alice, "resume", { consentId: only.consentId })).error, "consent.wrong_state");

  await yes(["contacts"], ["marketing"]);
  assert.deepEqual(await codes(), ["granted", "granted", "granted"]);
  assert.equal((await ask(alice, "as_of", { ...question, validAt: no.grantedAt })).allowed, false, "from the moment of the no on");
  await revokeAll();
});

test("who says no while they say yes elsewhere is left with the no where it came last", async () => {
  for (let round = 0; round < 10; ++round) {
    const what = { ...wish(["location"], ["research"]), mateId: "stormy" };
    const storm = Array.from({ length: 6 }, () => ask(alice, "grant", what));
    await storm[0];
    const no = await ask(alice, "refuse", what);
    await Promise.all(storm);
    const older = (await ask(alice, "query", { mateId: "stormy", active: true })).consents.filter((one) => one.epoch < no.epoch);
    assert.deepEqual(older, []);
    await ask(alice, "revoke", { mateId: "stormy" });
  }
});

test("what a person has refused a Mate no other Mate hands on to it", async () => {
  const other = await logIn(platform, platform.cli("mate", "create", "handed-to").apiKey);
  const top = await ask(alice, "grant", { ...wish(["messages"]), delegationDepth: 1 });
  const handOn = (scopes) => ask(mate, "delegate", { consentId: top.consentId, mateId: "handed-to", scopes });
  await ask(alice, "refuse", { ...wish(["messages.read"]), mateId: "handed-to" });
  assert.equal((await handOn(["messages"])).error, "consent.refused_by_person");
  assert.equal((await handOn(["messages.count"])).status, "active");
  await ask(alice, "grant", { ...wish(["messages"]), mateId: "handed-to" });
  assert.equal((await handOn(["messages"])).status, "active", "they have allowed it since");
  await ask(alice, "revoke", { mateId: "handed-to" });
  await other.connection.close();
  await revokeAll();
});

test("a grant may replace another in one step", async () => {
  const old = await ask(alice, "grant", wish());
  const next = await ask(alice, "grant", { ...wish(["profile.read"]), supersedes: old.consentId });
  const all = (await ask(alice, "query", { mateId: "reader" })).consents;
  const before = all.find((one) => one.consentId === old.consentId);
  assert.deepEqual([before.status, before.granted, before.supersededBy], ["superseded", false, next.consentId]);
  assert.equal(await verify("image.analyze"), "scope_missing");
  assert.equal((await ask(alice, "grant", { ...wish(), supersedes: "unknown" })).error, "consent.unknown");
  await revokeAll();
});

test("looking back tells what held from what was known", async () => {
  const tick = () => new Promise((wake) => setTimeout(wake, 20));
  await ask(alice, "grant", wish(["calendar"]));
  await tick();
  const between = new Date().toISOString();
  await tick();
  const effectiveAt = between;
  const knownBefore = new Date().toISOString();
  await tick();
  await ask(alice, "revoke", { mateId: "reader", effectiveAt });
  await tick();
  const question = { userId: "alice", mateId: "reader", scopes: ["calendar.read"], purpose: "analytics" };
  assert.equal((await ask(mate, "as_of", { ...question, validAt: knownBefore, knownAt: knownBefore })).code, "granted");
  assert.equal((await ask(mate, "as_of", { ...question, validAt: knownBefore })).code, "revoked");
  assert.equal((await ask(alice, "as_of", question)).code, "revoked");
  const token = await platform.token(aliceKey);
  const http = await platform.http("POST", "/v1/consents/as-of", { token, body: { ...question, validAt: knownBefore, knownAt: knownBefore } });
  assert.equal(http.json.allowed, true, http.text);
});

test("a Mate hands a consent on, narrower and never longer; what happens above holds below at once", async () => {
  const others = {};
  for (const name of ["second", "third"]) others[name] = await logIn(platform, platform.cli("mate", "create", name).apiKey);
  const top = await ask(alice, "grant", { ...wish(["profile", "image"]), delegationDepth: 2, expiresAt: new Date(Date.now() + 3600_000).toISOString() });
  const to = (session, consentId, mateId, more) => ask(session, "delegate", { consentId, mateId, ...more });
  assert.equal((await to(mate, top.consentId, "second", { scopes: ["health"] })).error, "consent.not_narrower");
  assert.equal((await to(mate, top.consentId, "second", { expiresAt: new Date(Date.now() + 7200_000).toISOString() })).error, "consent.not_narrower");
  assert.equal((await to(mate, top.consentId, "second", { delegationDepth: 2 })).error, "consent.not_delegable");
  assert.equal((await to(mate, top.consentId, "reader")).error, "consent.delegation_cycle");
  assert.equal((await to(others.second, top.consentId, "third")).error, "consent.unknown", "not its own");
  const child = await to(mate, top.consentId, "second", { scopes: ["profile"], delegationDepth: 1 });
  assert.deepEqual([child.status, child.parentId, child.userId], ["active", top.consentId, "alice"]);
  const grandchild = await to(others.second, child.consentId, "third");
  assert.equal((await to(others.second, child.consentId, "reader")).error, "consent.delegation_cycle");
  assert.equal((await to(others.third, grandchild.consentId, "fourth")).error, "consent.not_delegable");

  const code = async (mateId, scope) => (await ask(mate, "verify", { userId: "alice", mateId, scopes: [scope], purpose: "analytics" })).code;
  // What the third Mate's enforcement point is told.
  const known = async () => (await ask(others.third, "sync", { mateId: "third", mateEpoch: 1 }).then((reply) => reply.consents)).find((one) => one.consentId === grandchild.consentId);
  assert.equal(await code("third", "profile.read"), "granted");
  await ask(alice, "suspend", { consentId: top.consentId });
  assert.equal(await code("third", "profile.read"), "suspended");
  assert.equal((await known()).status, "suspended");
  await ask(alice, "resume", { consentId: top.consentId });
  await ask(alice, "narrow", { consentId: top.consentId, scopes: ["profile.read"] });
  assert.equal(await code("third", "profile.read"), "granted");
  assert.equal(await code("third", "profile.write"), "scope_missing");
  assert.deepEqual((await known()).scopes, ["profile.read"]);
  const before = new Date().toISOString();
  const revoked = await ask(alice, "revoke", { consentId: top.consentId });
  assert.deepEqual(revoked.consents.map((one) => [one.mateId, one.granted]).sort(), [["reader", false], ["second", false], ["third", false]]);
  assert.equal(await code("third", "profile.read"), "revoked");
  assert.equal((await known()).granted, false);
  const asOf = (more) => ask(others.third, "as_of", { userId: "alice", mateId: "third", scopes: ["profile.read"], purpose: "analytics", ...more });
  assert.equal((await asOf({ validAt: before, knownAt: before })).code, "granted");
  assert.equal((await asOf({})).code, "revoked");
  assert.equal((await ask(alice, "audit", { consentId: grandchild.consentId })).entries[0].actor, "mate:second");
  for (const session of Object.values(others)) await session.connection.close();
  await revokeAll();
});

test("what is active is what holds, with everything above it", async () => {
  const second = await logIn(platform, platform.cli("mate", "create", "below").apiKey);
  const top = await ask(alice, "grant", { ...wish(["contacts"]), delegationDepth: 1 });
  const child = await ask(mate, "delegate", { consentId: top.consentId, mateId: "below" });
  const listed = async (active) => (await ask(second, "query", { active })).consents.map((one) => one.consentId);
  assert.deepEqual([await listed(true), await listed(false)], [[child.consentId], []]);
  await ask(alice, "suspend", { consentId: top.consentId });
  assert.deepEqual([await listed(true), await listed(false)], [[], [child.consentId]]);
  await second.connection.close();
  await revokeAll();
});

test("a clock that was set back turns no order of changes around", async () => {
  const { consentId } = await ask(alice, "grant", wish(["location"], ["research"]));
  await ask(alice, "suspend", { consentId });
  // By a clock that was ahead.
  sql(`update intra365.consent_history set valid_from = now() + interval '10 minutes' where consent_id = '${consentId}' and event = 'suspended'`);
  await ask(alice, "resume", { consentId });
  const asOf = (minutes) => ask(alice, "as_of", { userId: "alice", mateId: "reader", scopes: ["location"], purpose: "research", validAt: new Date(Date.now() + minutes * 60_000).toISOString() });
  assert.equal((await asOf(11)).code, "granted");
  await ask(alice, "revoke", { consentId, effectiveAt: new Date(Date.now() - 1).toISOString() });
  assert.equal((await asOf(0)).code, "revoked", "what was said earlier counts earlier all the same");
});

test("from the command line proof comes from a file, and is theirs to read", async () => {
  const file = join(platform.data, "proof.json");
  writeFileSync(file, JSON.stringify({ text: "May we count your visits?", language: "en", address: "192.0.2.7", userAgent: "shell" }));
  for (const verb of ["grant", "refuse"]) {
    const said = platform.cliAs(aliceKey, "consent", verb, "--mate", "prover", "--scopes", "profile", "--purposes", "analytics", "--proof", file);
    const { entries } = await ask(alice, "evidence", { consentId: said.consentId });
    assert.deepEqual([entries.length, entries[0].evidence.text, entries[0].evidence.address], [1, "May we count your visits?", "192.0.2.7"]);
  }
  writeFileSync(file, JSON.stringify({ adress: "a slip" }));
  assert.throws(() => platform.cliAs(aliceKey, "consent", "refuse", "--mate", "prover", "--scopes", "profile", "--purposes", "analytics", "--proof", file), /adress/);
});

test("over HTTP a consent lives the same life", async () => {
  const token = await platform.token(aliceKey);
  const post = (path, body) => platform.http("POST", `/v1/consents${path}`, { token, body });
  const granted = (await post("", wish(["diary"]))).json;
  assert.equal((await post(`/${granted.consentId}/narrow`, { scopes: ["diary.read"], revision: 1 })).json.revision, 2);
  const late = await post(`/${granted.consentId}/suspend`, { revision: 1 });
  assert.deepEqual([late.status, late.json.code], [409, "consent.conflict"]);
  assert.equal((await post(`/${granted.consentId}/suspend`, {})).json.status, "suspended");
  assert.equal((await post(`/${granted.consentId}/resume`, {})).json.status, "active");
  assert.equal((await post("/refuse", wish(["contacts"], ["marketing"]))).json.status, "refused");
  await revokeAll();
});

test("from the command line a person manages their consents, and the operator the catalogue", async () => {
  const person = (...words) => platform.cliAs(aliceKey, "consent", ...words);
  const granted = person("grant", "--mate", "reader", "--scopes", "messages", "--purposes", "personalization");
  assert.equal(person("narrow", granted.consentId, "--scopes", "messages.read").revision, 2);
  assert.equal(person("suspend", granted.consentId).status, "suspended");
  assert.equal(person("resume", granted.consentId).status, "active");
  assert.equal(person("as-of", "--mate", "reader", "--scopes", "messages.read", "--purpose", "personalization").code, "granted");
  assert.deepEqual(person("history", "--consent", granted.consentId).entries.map((entry) => entry.event), ["granted", "narrowed", "suspended", "resumed"]);
  assert.throws(() => person("suspend", granted.consentId, "--revision", "1"), /current revision is 4/);

  assert.equal(platform.cli("consent", "catalogue", "close").closed, true);
  assert.equal((await ask(alice, "grant", wish(["shoe-size"]))).error, "consent.unknown_scope");
  assert.equal((await ask(alice, "grant", wish(["profile"], ["spying"]))).error, "consent.unknown_purpose");
  platform.cli("consent", "catalogue", "scope", "shoe-size");
  platform.cli("consent", "catalogue", "purpose", "fitting", "--max-days", "30");
  const fitted = await ask(alice, "grant", wish(["shoe-size.left"], ["fitting"]));
  assert.ok(Math.abs(Date.parse(fitted.expiresAt) - Date.now() - 30 * 86400_000) < 60_000, JSON.stringify(fitted));
  assert.equal((await ask(alice, "grant", { ...wish(["shoe-size"], ["fitting"]), expiresAt: new Date(Date.now() + 31 * 86400_000).toISOString() })).error, "consent.lifetime_too_long");
  assert.equal(platform.cli("consent", "catalogue", "open").closed, false);
  await revokeAll();
});

test("what many change at the same time is stored as if they had come one after another", async () => {
  const history = async () => {
    const all = [];
    for (let cursor; ; ) {
      const page = await ask(alice, "audit", { limit: 200, ...(cursor && { cursor }) });
      all.push(...page.entries);
      if (!(cursor = page.nextCursor)) return all;
    }
  };
  const first = (await history()).length;
  const made = await Promise.all(Array.from({ length: 60 }, (_, i) => ask(alice, i % 5 ? "grant" : "refuse", { ...(i % 5 ? wish() : wish(["profile"], ["marketing"])), mateId: `crowd-${i % 3}` })));
  const ends = made.filter((one) => one.granted).slice(0, 20).map(({ consentId }) => ask(alice, "suspend", { consentId }));
  await Promise.all([...ends, ...Array.from({ length: 20 }, (_, i) => ask(alice, "grant", { ...wish(), mateId: `crowd-${i % 3}` }))]);
  const added = (await history()).slice(first);
  assert.equal(added.length, 100);
  assert.deepEqual(added.map((one, i) => one.epoch - added[0].epoch - i).filter((gap) => gap !== 0), [], "each raises the person's epoch by one, in the order of the history");
  const crowd = await logIn(platform, platform.cli("mate", "create", "crowd-0").apiKey);
  const { mateEpoch, consents } = await ask(crowd, "sync", { mateId: "crowd-0", mateEpoch: 1 });
  assert.equal(mateEpoch, added.filter((one) => one.mateId === "crowd-0").length, "and the Mate's");
  assert.equal(new Set(consents.map((one) => one.mateEpoch)).size, consents.length, "none shares a Mate's epoch");
  await crowd.connection.close();
  for (const mateId of ["crowd-0", "crowd-1", "crowd-2"]) await ask(alice, "revoke", { mateId });
});
