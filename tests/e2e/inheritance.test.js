// Consents that people inherit from their household and their organisation, with real servers: who may give
// them, which level decides, and that leaving a household counts like a revocation.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { join } from "node:path";
import { Platform, binaries, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";
import { openParts } from "./lib/parts.js";

const kBoundMs = 1000;
const platform = new Platform();
const people = {}, keys = {};
let analyzer, analyzerKey, analyzerItself, assistant, admin, home, homeConsent;

const consent = async (session, operation, body) => {
  const answer = await request(session, `intra365.consent.${operation}`, body);
  return answer.error ? { error: answer.error, message: JSON.stringify(answer.reply) } : answer.reply;
};
const must = async (session, operation, body) => {
  const reply = await consent(session, operation, body);
  assert.equal(reply.error, undefined, reply.message);
  return reply;
};
const wish = { mateId: "image-analyzer", purposes: ["ai-assistance"], scopes: ["image.analyze"] };
const call = async (user) => (await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": user })).error ?? "ok";
/** The answer of a copy in memory and the one of the truth; they have to agree. */
async function verified(user) {
  const question = { userId: user, mateId: "image-analyzer", scopes: ["image.analyze"], purpose: "ai-assistance" };
  const strict = await must(assistant, "verify", { ...question, strict: true });
  const fast = await eventually("an answer from memory", async () => {
    const one = await must(assistant, "verify", question);
    return one.cacheAgeMs > 0 ? one : undefined;
  });
  assert.deepEqual([fast.code, fast.inheritedFrom ?? "own", fast.consentId], [strict.code, strict.inheritedFrom ?? "own", strict.consentId]);
  return [strict.code, strict.inheritedFrom ?? "own"];
}
const startAnalyzer = () => {
  analyzer = spawn(join(binaries, "image-analyzer"), [], { stdio: ["ignore", "ignore", "inherit"], env: { INTRA365_NATS_URL: platform.endpoints.nats, INTRA365_API_KEY: analyzerKey, IMAGE_ANALYZER_PAUSE_MS: "80" } });
};

before(async () => {
  await platform.start();
  for (const name of ["alice", "ben", "cleo", "dora"]) {
    keys[name] = platform.cli("user", "create", name).apiKey;
    people[name] = await logIn(platform, keys[name]);
  }
  analyzerKey = platform.cli("mate", "create", "image-analyzer").apiKey;
  startAnalyzer();
  assistant = await logIn(platform, platform.cli("mate", "create", "assistant").apiKey);
  analyzerItself = await logIn(platform, analyzerKey);
  admin = await logIn(platform, platform.adminKey);
  await eventually("the analyzer", async () => (await call("alice")) === "consent.none");
});

after(async () => {
  for (const session of [...Object.values(people), assistant, analyzerItself, admin]) await session?.connection.close();
  analyzer?.kill("SIGTERM");
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("no user can have the name of a group", async () => {
  assert.throws(() => platform.cli("user", "create", "organisation:default"));
  for (const userId of ["household:x", "organisation:default"]) {
    assert.equal((await consent(people.alice, "grant", { ...wish, userId })).error, "subject.bad_token");
    assert.equal((await consent(assistant, "verify", { userId, mateId: "image-analyzer", scopes: ["image.analyze"], purpose: "ai-assistance" })).error, "subject.bad_token");
  }
});

test("a household is founded, invites, and is joined by everybody's own act", async () => {
  home = (await must(people.alice, "found_household", {})).householdId;
  assert.equal((await consent(people.alice, "found_household", {})).error, "consent.in_a_household");
  assert.equal((await consent(people.ben, "join_household", { householdId: home })).error, "consent.unknown_household");
  assert.equal((await consent(people.ben, "invite_to_household", { householdId: home, userId: "ben" })).error, "consent.not_for_the_group");
  const invited = await must(people.alice, "invite_to_household", { householdId: home, userId: "ben" });
  assert.deepEqual(invited.members.map((one) => [one.userId, one.keeper, one.joinedAt !== undefined]), [["alice", true, true], ["ben", false, false]]);
  assert.equal((await consent(people.alice, "invite_to_household", { householdId: home, userId: "ben" })).error, "consent.known_member");
  assert.equal((await must(people.ben, "households", {})).households[0].householdId, home);
});

test("only keepers consent for a household, and only to what the catalogue calls inheritable", async () => {
  const grant = { ...wish, householdId: home };
  assert.equal((await consent(people.ben, "grant_inherited", grant)).error, "consent.not_for_the_group");
  assert.equal((await consent(admin, "grant_inherited", grant)).error, "consent.not_the_person");
  assert.equal((await consent(people.alice, "grant_inherited", grant)).error, "consent.not_inheritable");
  await must(admin, "define_purpose", { purpose: "ai-assistance", description: "Help at home", defaultDays: 30, inheritable: true });
  await must(admin, "define_purpose", { purpose: "ai-assistance.training", description: "Not for groups" });
  await eventually("the catalogue", async () => (await must(people.alice, "catalogue", {})).purposes.find((one) => one.purpose === "ai-assistance").inheritable);
  assert.equal((await consent(people.alice, "grant_inherited", grant)).error, "consent.not_inheritable", "it would cover what is below it");
  await must(admin, "define_purpose", { purpose: "ai-assistance.training", description: "For groups too", inheritable: true });
  homeConsent = await eventually("the grant", async () => {
    const one = await consent(people.alice, "grant_inherited", grant);
    return one.error ? undefined : one;
  });
  assert.deepEqual([homeConsent.userId, homeConsent.status, homeConsent.members], [`household:${home}`, "active", ["alice"]]);
});

test("who joins inherits, who is only invited does not; both are the same in memory, in the truth and at the Mate", async () => {
  await eventually("the analyzer's knowledge", async () => (await call("alice")) === "ok");
  assert.deepEqual(await verified("alice"), ["granted", "household"]);
  assert.deepEqual(await verified("ben"), ["none", "own"]);
  assert.equal(await call("ben"), "consent.none");
  const joined = await must(people.ben, "join_household", { householdId: home });
  assert.ok(joined.epoch > 0 && joined.propagation.published);
  assert.equal(await call("ben"), "ok", "at once: the reply came after the push");
  assert.deepEqual(await verified("ben"), ["granted", "household"]);
  assert.deepEqual(await verified("cleo"), ["none", "own"]);
  assert.deepEqual((await must(people.ben, "query", { inherited: true })).consents.map((one) => one.consentId), [homeConsent.consentId]);
  assert.equal((await consent(people.ben, "query", { userId: "alice", inherited: true })).error, "access.not_yours");
});

test("leaving ends a running answer within the bound, and the next call is refused", async (t) => {
  const answer = openParts(assistant, "image-analyzer", "image-analysis.describe-image", picture, { user: "ben" });
  await eventually("some parts", () => (assert.equal(answer.end, undefined, JSON.stringify(answer.end)), answer.parts.length >= 3));
  const left = await must(people.ben, "leave_household", { householdId: home });
  const replied = performance.now();
  assert.deepEqual([left.propagation.committed, left.propagation.published], [true, true]);
  assert.equal((await answer.ended).code, "consent.none");
  t.diagnostic(`the stream ended ${(answer.end.at - replied).toFixed(2)} ms after the reply, after part ${answer.parts.length} of 17`);
  assert.ok(answer.end.at - replied < kBoundMs);
  assert.ok(answer.parts.length < 17);
  assert.equal(await call("ben"), "consent.none");
  assert.deepEqual(await verified("ben"), ["none", "own"]);
  assert.equal((await must(assistant, "verify", { userId: "ben", mateId: "image-analyzer", scopes: ["image.analyze"], purpose: "ai-assistance", minEpoch: left.epoch })).code, "none");
  assert.equal(await call("alice"), "ok", "who stays is not touched");

  const as = async (validAt) => {
    const then = await must(people.ben, "as_of", { userId: "ben", ...wish, purposes: undefined, purpose: "ai-assistance", validAt });
    return [then.code, then.inheritedFrom ?? "own"];
  };
  assert.deepEqual(await as(new Date(Date.now()).toISOString()), ["none", "own"]);
  const during = new Date(Date.now() - (performance.now() - replied) - 100).toISOString();
  assert.deepEqual(await as(during), ["granted", "household"]);
});

test("one's own no is above every group's yes, also for a Mate that has just started", async () => {
  await must(people.alice, "refuse", { userId: "alice", ...wish });
  assert.equal(await call("alice"), "consent.refused");
  assert.deepEqual(await verified("alice"), ["refused", "own"]);
  analyzer.kill("SIGTERM");
  await new Promise((done) => analyzer.once("exit", done));
  await must(people.alice, "invite_to_household", { householdId: home, userId: "cleo" });
  await must(people.cleo, "join_household", { householdId: home });
  startAnalyzer();
  await eventually("the analyzer's knowledge of the household", async () => (await call("cleo")) === "ok");
  assert.equal(await call("alice"), "consent.refused");
  // Who does not say that it knows of groups is told nothing of them.
  const plain = await must(analyzerItself, "sync", { mateId: "image-analyzer", mateEpoch: 0 });
  assert.deepEqual([plain.inherited, plain.consents.filter((one) => one.userId.includes(":"))], [true, []]);
  const whole = await must(analyzerItself, "sync", { mateId: "image-analyzer", mateEpoch: 0, whole: true });
  assert.deepEqual(whole.consents.map((one) => [one.userId, one.status]).sort(), [["alice", "refused"], [`household:${home}`, "active"]]);
  assert.deepEqual(whole.consents.find((one) => one.members).members, ["alice", "cleo"]);
});

test("the organisation speaks for everybody, after the household, and only by its operator", async () => {
  assert.equal((await consent(people.alice, "grant_inherited", wish)).error, "consent.not_for_the_group");
  const all = platform.cli("consent", "grant", "--organisation", "--mate", "image-analyzer", "--purposes", "ai-assistance", "--scopes", "image.analyze");
  assert.equal(all.userId, "organisation:default");
  await eventually("the analyzer's knowledge", async () => (await call("dora")) === "ok");
  assert.deepEqual(await verified("dora"), ["granted", "organisation"]);
  assert.deepEqual(await verified("cleo"), ["granted", "household"]);
  assert.deepEqual(await verified("alice"), ["refused", "own"]);
  await must(people.alice, "suspend", { consentId: homeConsent.consentId });
  assert.deepEqual(await verified("cleo"), ["suspended", "household"], "a household's no ends the search");
  assert.equal(await call("cleo"), "consent.suspended");
  await must(people.alice, "resume", { consentId: homeConsent.consentId });
  assert.equal(await call("cleo"), "ok");
  assert.equal((await consent(people.dora, "revoke", { consentId: all.consentId })).error, "consent.not_for_the_group");
  assert.equal((await must(admin, "revoke", { consentId: all.consentId })).consents[0].status, "revoked");
  assert.equal(await call("dora"), "consent.revoked");
  assert.deepEqual(await verified("dora"), ["revoked", "organisation"]);
});

test("who objects to a purpose is asked by no group any more", async () => {
  const objected = await must(people.cleo, "object", { userId: "cleo", purposes: ["ai-assistance"] });
  assert.deepEqual(objected.consents.map((one) => [one.userId, one.status, one.method]), [["cleo", "refused", "objection"]]);
  assert.equal(await call("cleo"), "consent.refused");
});

test("the command line and HTTP tell the same story", async () => {
  platform.cliAs(keys.alice, "consent", "household", "invite", home, "--user", "dora", "--keeper");
  assert.deepEqual(platform.cliAs(keys.dora, "consent", "household", "join", home).household.members.map((one) => one.userId), ["alice", "cleo", "dora"]);
  const token = await platform.token(keys.dora);
  const listed = await platform.http("GET", "/v1/households", { token });
  assert.deepEqual([listed.status, listed.json.households[0].householdId], [200, home]);
  const inherited = await platform.http("GET", "/v1/consents?inherited=true", { token });
  assert.deepEqual([...new Set(inherited.json.consents.map((one) => one.userId))].sort(), [`household:${home}`, "organisation:default"]);
  const refused = platform.cliAs(keys.dora, "consent", "refuse", "--household", home, "--mate", "assistant", "--purposes", "marketing", "--scopes", "profile");
  assert.deepEqual([refused.status, refused.userId], ["refused", `household:${home}`]);
  const left = await platform.http("POST", `/v1/households/${home}/leave`, { token, body: {} });
  assert.deepEqual([left.status, left.json.household.members.map((one) => one.userId)], [200, ["alice", "cleo"]]);
});

test("who declines an invitation learns no more than the invitation told", async () => {
  await must(people.alice, "invite_to_household", { householdId: home, userId: "dora" });
  const seen = (household) => household.members.map((one) => one.userId);
  assert.deepEqual(seen((await must(people.dora, "households", {})).households[0]), ["alice", "dora"]);
  const declined = await must(people.dora, "leave_household", { householdId: home });
  assert.deepEqual(seen(declined.household), ["alice"], "and not cleo");
  await must(people.alice, "invite_to_household", { householdId: home, userId: "dora" });
  const withdrawn = await must(people.alice, "leave_household", { householdId: home, userId: "dora" });
  assert.deepEqual(seen(withdrawn.household), ["alice", "cleo"], "who belongs to it sees all of it");
});

test("who is invited and never came says nothing of themselves, not even whether they exist", async () => {
  await must(people.dora, "refuse", { ...wish, userId: "dora", mateId: "stranger" });
  const answers = [];
  for (const userId of ["dora", "nobody"]) {
    const invited = await must(people.alice, "invite_to_household", { householdId: home, userId });
    const { epoch, household } = await must(people.alice, "leave_household", { householdId: home, userId });
    const { invitedAt, ...member } = invited.members.at(-1);
    answers.push(JSON.stringify([member, epoch, household.members.length]).replace(userId, "who"));
  }
  assert.equal(answers[0], answers[1]);
});

test("a household that says no is not held to an older yes of its own", async () => {
  const mateId = "gardener";
  const grant = await must(people.alice, "grant_inherited", { ...wish, mateId, householdId: home });
  const ask = async () => (await must(admin, "verify", { userId: "cleo", mateId, scopes: wish.scopes, purpose: wish.purposes[0], strict: true })).code;
  await must(people.alice, "refuse_inherited", { ...wish, mateId, householdId: home });
  assert.notEqual(await ask(), "granted");
  const { consents } = await must(people.cleo, "query", { inherited: true, mateId });
  assert.equal(consents.find((one) => one.consentId === grant.consentId).status, "revoked");
});

test("people who come and go while their household changes its mind wait for nobody in a circle, and memory agrees with the truth", async () => {
  const householdId = home;
  const mateId = "assistant";
  const asked = { mateId, scopes: ["image.analyze"], purpose: "ai-assistance" };
  await must(people.alice, "invite_to_household", { householdId, userId: "ben" });
  const come = async () => {
    for (let n = 0; n < 15; ++n) {
      await must(people.ben, "join_household", { householdId });
      await must(people.ben, "leave_household", { householdId });
      await must(people.alice, "invite_to_household", { householdId, userId: "ben" });
    }
    await must(people.ben, "join_household", { householdId });
  };
  const change = async () => {
    for (let n = 0; n < 15; ++n) {
      const { consentId } = await must(people.alice, "grant_inherited", { ...wish, mateId, householdId });
      await must(people.alice, "narrow", { consentId, expiresAt: new Date(Date.now() + 3600_000).toISOString() });
      if (n < 14) await must(people.alice, "revoke", { consentId });
    }
  };
  const own = async () => {
    for (let n = 0; n < 15; ++n) {
      const { consentId } = await must(people.cleo, "grant", { ...wish, mateId, userId: "cleo" });
      await must(people.cleo, "revoke", { consentId });
    }
  };
  const watch = async () => {
    for (let n = 0; n < 60; ++n) await must(admin, "verify", { ...asked, userId: "ben" });
  };
  await Promise.all([come(), change(), own(), watch()]);
  for (const [userId, expected] of [["ben", "granted household"], ["cleo", "revoked own"], ["dora", "none own"]]) {
    const answers = [];
    for (const strict of [true, false]) {
      const one = await must(admin, "verify", { ...asked, userId, strict });
      answers.push(`${one.code} ${one.inheritedFrom ?? "own"}`);
    }
    assert.deepEqual(answers, [expected, expected], userId);
  }
  await must(people.ben, "leave_household", { householdId });
});

test("an export shows the stays, and a household without its keeper ends with the person who is erased", async () => {
  const out = join(platform.data, "alice.json");
  platform.cliAs(keys.alice, "privacy", "export", "--out", out);
  const pages = JSON.parse(readFileSync(out, "utf8"));
  const rows = (Array.isArray(pages) ? pages : [pages]).flatMap((page) => page.document.rows).filter((row) => row.table === "consent_household_members");
  assert.ok(rows.some((row) => row.row.user_id === "alice" && row.row.keeper), JSON.stringify(rows));

  const ben = await must(people.alice, "invite_to_household", { householdId: home, userId: "ben" });
  assert.ok(ben.members.some((one) => one.userId === "ben"));
  await must(people.ben, "join_household", { householdId: home });
  assert.equal(await call("ben"), "ok");
  const officer = platform.cli("user", "create", "officer", "--role", "privacy-officer").apiKey;
  platform.cliAs(officer, "privacy", "erase", "--user", "alice", "--confirm", "alice");
  await eventually("the end of the household", async () => (await call("ben")) === "consent.revoked" || (await call("ben")) === "consent.none");
  assert.deepEqual((await must(people.ben, "households", {})).households, []);
  assert.equal((await consent(people.ben, "join_household", { householdId: home })).error, "consent.unknown_household");
});
