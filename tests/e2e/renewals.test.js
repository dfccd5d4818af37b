// The end of a consent: reminders before it, the end itself, each on time and once, whichever of two services takes
// it and whatever dies meanwhile; and what the person makes of it.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { Platform, binaries, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";
import { serve } from "./lib/second.js";

const platform = new Platform();
let alice, bob, painter, admin, aliceKey, bobKey, painterKey, second;
const events = [];

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-Atc", text], { encoding: "utf8" }).trim();
const ask = async (session, subject, body) => {
  const answer = await request(session, subject, body);
  assert.equal(answer.error, undefined, JSON.stringify(answer.reply));
  return answer.reply;
};
const grant = (seconds, more = {}) => ask(alice, "intra365.consent.grant", { userId: "alice", mateId: "painter", purposes: ["ai-assistance"], scopes: ["image.analyze"], expiresAt: new Date(Date.now() + seconds * 1000).toISOString(), ...more });
const of = (consentId, type) => events.filter((one) => one.data.consentId === consentId && (!type || one.type === `intra365.consent.${type}`));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

before(async () => {
  await platform.start();
  aliceKey = platform.cli("user", "create", "alice").apiKey;
  bobKey = platform.cli("user", "create", "bob").apiKey;
  painterKey = platform.cli("mate", "create", "painter").apiKey;
  alice = await logIn(platform, aliceKey);
  bob = await logIn(platform, bobKey);
  painter = await logIn(platform, painterKey);
  admin = await logIn(platform, platform.adminKey);
  admin.connection.subscribe("intra365.events.consent.>", { callback: (_, message) => events.push({ ...message.json(), seen: Date.now() }) });
  await admin.connection.flush();
  second = await serve(platform, ["consent"]);
});

after(async () => {
  for (const session of [alice, bob, painter, admin]) await session?.connection.close();
  second?.kill("SIGTERM");
  await second?.ended;
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("reminders are the platform's own until the operator changes them", async () => {
  assert.deepEqual((await ask(alice, "intra365.consent.reminders", {})).secondsBefore, [604800, 86400]);
  const denied = await platform.http("PUT", "/v1/consents/reminders", { token: await platform.token(aliceKey), body: { secondsBefore: [1] } });
  assert.equal(denied.json.code, "access.role_required");
  for (const secondsBefore of [[0], [7776001], [1, 2, 3, 4, 5, 6, 7, 8, 9]]) assert.equal((await request(admin, "intra365.consent.set_reminders", { secondsBefore })).error, "request.bad_value");
  assert.deepEqual(platform.cli("consent", "reminders", "1s,2s,1s").secondsBefore, [2, 1]);
  assert.deepEqual((await platform.http("GET", "/v1/consents/reminders", { token: await platform.token(aliceKey) })).json.secondsBefore, [2, 1]);
});

test("a person is reminded and told of the end, each on time and once", async (t) => {
  const { consentId, expiresAt } = await grant(4);
  const end = Date.parse(expiresAt);
  await eventually("the end", () => of(consentId, "expired").length === 1);
  await pause(1500); // whoever would tell it a second time has done so by now
  assert.deepEqual(of(consentId).map((one) => one.type.split(".").at(-1)), ["granted", "expiring", "expiring", "expired"]);
  const late = of(consentId).slice(1).map((one, i) => one.seen - (end - [2000, 1000, 0][i]));
  t.diagnostic(`${late.join(", ")} ms after their times`);
  assert.ok(late.every((ms) => ms > -50 && ms < 2500));
  assert.deepEqual([of(consentId, "expiring")[0].data.secondsBefore, of(consentId, "expiring")[0].data.userId], [2, "alice"]);
  const history = (await ask(alice, "intra365.consent.audit", { consentId })).entries.map((entry) => entry.event);
  assert.deepEqual(history, ["granted", "expired"]);
});

test("ask, remind, renew in one step, lapse", async () => {
  const { consentId } = await grant(5);
  assert.equal((await platform.http("POST", `/v1/consents/${consentId}/ask-renewal`, { token: await platform.token(bobKey), body: {} })).json.code, "access.role_required");
  assert.equal((await request(admin, "intra365.consent.ask_renewal", { consentId })).error, "consent.unknown", "only the Mate it is for");
  const asked = platform.cliAs(painterKey, "consent", "ask-renewal", consentId);
  assert.deepEqual([asked.askedBy, asked.userId], ["mate:painter", "alice"]);
  assert.deepEqual((await ask(painter, "intra365.consent.ask_renewal", { consentId })).askedAt, asked.askedAt, "once for each end");
  await eventually("the event", () => of(consentId, "renewal_asked").length === 1);
  await eventually("a reminder", () => of(consentId, "expiring").length >= 1);
  const open = platform.cliAs(aliceKey, "consent", "renewals", "--open").renewals;
  assert.deepEqual([open.length, open[0].consentId, Boolean(open[0].remindedAt)], [1, consentId, true]);
  assert.deepEqual((await ask(bob, "intra365.consent.renewals", {})).renewals, []);

  await ask(alice, "intra365.consent.renew", { consentId, expiresAt: new Date(Date.now() + 3500).toISOString() });
  assert.deepEqual((await ask(alice, "intra365.consent.renewals", { open: true })).renewals, []);
  assert.ok((await ask(alice, "intra365.consent.renewals", {})).renewals.find((one) => one.consentId === consentId).renewedAt);
  await eventually("the end of the renewed one", () => of(consentId, "expired").length === 1);
  const last = (await ask(alice, "intra365.consent.renewals", {})).renewals.find((one) => one.consentId === consentId);
  assert.ok(last.lapsedAt && !last.renewedAt);
  const types = of(consentId).map((one) => one.type.split(".").at(-1));
  assert.equal(types.filter((type) => type === "expired").length, 1, `once, after the renewal: ${types}`);

  await ask(alice, "intra365.consent.renew", { consentId, expiresAt: new Date(Date.now() + 3_600_000).toISOString() });
  assert.ok((await ask(alice, "intra365.consent.renewals", {})).renewals.find((one) => one.consentId === consentId).renewedAt, "a lapsed one may be renewed, too");
  const forever = await ask(alice, "intra365.consent.grant", { userId: "alice", mateId: "painter", purposes: ["ai-assistance"], scopes: ["image.analyze"] });
  assert.equal((await request(painter, "intra365.consent.ask_renewal", { consentId: forever.consentId })).error, forever.expiresAt ? undefined : "consent.nothing_to_renew");
});

test("a consent that is revoked or renewed before a step takes none of it", async () => {
  const [revoked, renewed] = [await grant(4), await grant(4)];
  await ask(alice, "intra365.consent.revoke", { consentId: revoked.consentId });
  await ask(alice, "intra365.consent.renew", { consentId: renewed.consentId, expiresAt: new Date(Date.now() + 3_600_000).toISOString() });
  const control = await grant(4);
  await eventually("the end of another", () => of(control.consentId, "expired").length === 1);
  for (const { consentId } of [revoked, renewed]) assert.deepEqual(of(consentId).filter((one) => /expir/.test(one.type)), []);
});

test("what is suspended ends, too; and what hangs on a consent ends with it, and goes on with it", async () => {
  const suspended = await grant(4);
  await ask(alice, "intra365.consent.suspend", { consentId: suspended.consentId });
  const top = await grant(3600, { delegationDepth: 1 });
  const child = await ask(painter, "intra365.consent.delegate", { consentId: top.consentId, mateId: "framer" });
  await ask(alice, "intra365.consent.narrow", { consentId: top.consentId, expiresAt: new Date(Date.now() + 2500).toISOString() });
  await eventually("three ends", () => [suspended, top, child].every((one) => of(one.consentId, "expired").length === 1));
  assert.ok(of(suspended.consentId, "expiring").length >= 1);
  const code = async () => (await ask(painter, "intra365.consent.verify", { userId: "alice", mateId: "framer", scopes: ["image.analyze"], purpose: "ai-assistance" })).code;
  assert.equal(await code(), "expired");
  await ask(alice, "intra365.consent.renew", { consentId: top.consentId, expiresAt: new Date(Date.now() + 2500).toISOString() });
  assert.equal(await code(), "granted");
  await eventually("the second end of both", () => [top, child].every((one) => of(one.consentId, "expired").length === 2));
});

test("people hear what happens to their own consents and to nobody else's: over NATS, the command line and HTTP", async () => {
  const heard = { alice: [], bob: [] };
  for (const [name, session] of [["alice", alice], ["bob", bob]]) {
    session.connection.subscribe(`intra365.user.${name}.consent.>`, { callback: (_, message) => heard[name].push({ subject: message.subject, ...message.json() }) });
    await session.connection.flush();
  }
  const refused = [];
  bob.connection.subscribe("intra365.user.alice.consent.>", { callback: (error) => refused.push(String(error)) });
  painter.connection.subscribe("intra365.user.alice.>", { callback: (error) => refused.push(String(error)) });
  await eventually("the refusals", () => refused.length === 2 && refused.every((one) => /permissions violation/i.test(one)));

  const watch = spawn(join(binaries, "intra365"), ["--data", platform.data, "consent", "watch", "--json"], { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, INTRA365_API_KEY: aliceKey } });
  let printed = "";
  watch.stdout.on("data", (chunk) => (printed += chunk));
  const stop = new AbortController();
  const stream = await fetch(`${platform.endpoints.gateway}/v1/consents/events`, { headers: { authorization: `Bearer ${alice.token}` }, signal: stop.signal });
  assert.deepEqual([stream.status, stream.headers.get("content-type")], [200, "text/event-stream"]);
  let streamed = "";
  (async () => {
    for await (const chunk of stream.body) streamed += new TextDecoder().decode(chunk);
  })().catch(() => {});
  await eventually("both listen", async () => {
    await grant(3600);
    return printed.includes("granted") && streamed.includes("event: intra365.consent.granted");
  });

  const { consentId } = await grant(3);
  await ask(painter, "intra365.consent.ask_renewal", { consentId });
  const types = (list) => list.filter((one) => one.data.consentId === consentId).map((one) => one.type.split(".").at(-1)).sort();
  await eventually("the end", () => types(heard.alice).includes("expired"));
  assert.deepEqual(types(heard.alice), ["expired", "expiring", "expiring", "granted", "renewal_asked"]);
  assert.equal(heard.alice.find((one) => one.type.endsWith(".expired") && one.data.consentId === consentId).subject, "intra365.user.alice.consent.expired");
  assert.deepEqual(heard.bob, []);
  await eventually("the same elsewhere", () => printed.includes(`"intra365.consent.expired"`) && new RegExp(`event: intra365.consent.expired\nid: .*\ndata: .*${consentId}`).test(streamed));
  assert.equal((await platform.http("GET", "/v1/consents/events", { token: painter.token })).json.code, "access.not_yours");

  const lost = await platform.token(aliceKey);
  const overheard = (await fetch(`${platform.endpoints.gateway}/v1/consents/events`, { headers: { authorization: `Bearer ${lost}` } })).text();
  assert.equal((await platform.http("POST", "/v1/auth/token/revoke", { token: lost, body: { token: lost } })).status, 200);
  const { consentId: later } = await grant(3600);
  assert.doesNotMatch(await overheard, new RegExp(later), "a token that is revoked hears no more");
  watch.kill("SIGTERM");
  stop.abort();
});

test("two services, one of them killed: every step once, none lost", async (t) => {
  const many = [];
  for (let i = 0; i < 60; i += 6) many.push(...(await Promise.all(Array.from({ length: 6 }, (_, j) => grant(8 + ((i + j) % 30) / 10)))));
  const ids = new Set(many.map((one) => one.consentId));
  const count = (type) => events.filter((one) => ids.has(one.data.consentId) && one.type.endsWith(type)).length;
  await eventually("the first ends", () => count(".expired") >= 5);
  second.kill("SIGKILL");
  await eventually("all ends", () => count(".expired") >= 60, 30_000);
  await pause(6000); // redeliveries of what the killed one had in its hands, and the sweep
  for (const id of ids) assert.deepEqual(of(id).map((one) => one.type.split(".").at(-1)).sort(), ["expired", "expiring", "expiring", "granted"], id);
  assert.equal(Number(sql(`select count(*) from intra365.consent_history where event = 'expired' and consent_id in ('${[...ids].join("','")}')`)), 60);
  const late = many.map((one) => of(one.consentId, "expired")[0].seen - Date.parse(one.expiresAt)).sort((a, b) => a - b);
  t.diagnostic(`ends were told ${late[30]} ms (median) and ${late[59]} ms (last) after their times`);
});

test("timers that somebody deletes are planned again, and what no timer tells is told all the same", async () => {
  const creds = readFileSync(join(platform.data, "keys", "platform.creds"));
  const inside = await connect({ servers: platform.endpoints.nats, authenticator: credsAuthenticator(creds) });
  const first = await grant(3);
  await pause(200);
  const gone = await inside.request("$JS.API.STREAM.DELETE.CONSENT_TIMERS", "");
  assert.equal(gone.json().success, true);
  await eventually("the end without its timer", () => of(first.consentId, "expired").length === 1, 20_000);
  const next = await grant(3);
  await eventually("the end with a timer again", () => of(next.consentId, "expired").length === 1 && of(next.consentId, "expiring").length >= 1, 20_000);
  assert.equal((await inside.request("$JS.API.STREAM.INFO.CONSENT_TIMERS", "")).json().error, undefined);
  await inside.close();
});
