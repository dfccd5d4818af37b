// Erasures under everything that may come between: a consent that is granted meanwhile, a legal hold, a crash, another
// instance; and what they reach that others have written.
import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";
import { connect, credsAuthenticator, headers as natsHeaders } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Platform, binaries, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let officerKey, assistant, inside, number = 0, person, key;

const psql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text], { encoding: "utf8" });
const sql = (text) => psql(text).split("\n").filter(Boolean);
const asOfficer = (...args) => platform.cliAs(officerKey, ...args);
const officer = async (path, body) => (await platform.http("POST", path, { token: await platform.token(officerKey), body })).json;
const erase = (more = {}) => officer("/v1/privacy/erase", { userId: person, confirm: person, ...more });
const status = async (requestId) => (await platform.http("GET", `/v1/privacy/erasures/${requestId}`, { token: await platform.token(officerKey) })).json;
const done = (requestId) => eventually("the erasure", async () => ((await status(requestId)).state === "done" ? status(requestId) : undefined), 60_000);
const named = (word = person) =>
  sql("select quote_ident(c.relname) from pg_class c where c.relnamespace = 'intra365'::regnamespace and c.relkind in ('r', 'p', 'm') and not c.relispartition").flatMap((table) =>
    sql(`select '${table}: ' || left(t::text, 300) from intra365.${table} t where t::text ilike '%${word}%' limit 3`));
const grant = (purposes = ["analytics"]) => platform.cliAs(key, "consent", "grant", "--mate", "assistant", "--scopes", "calendar", "--purposes", ...purposes);
const reconcile = () => {
  const { missing, altered, unknown } = platform.cli("consent", "reconcile");
  return { missing, altered, unknown };
};

/** Keeps erasures from reading which tables there are: between the revocation and the first row. */
async function stopErasures() {
  const session = spawn("psql", [platform.endpoints.postgres, "-qAtX"], { stdio: ["pipe", "pipe", "inherit"] });
  const ready = new Promise((locked) => session.stdout.on("data", (text) => String(text).includes("locked") && locked()));
  session.stdin.write("begin; lock table intra365.personal_columns in access exclusive mode; select 'locked';\n");
  await ready;
  return () => new Promise((gone) => session.on("exit", gone) && session.stdin.end("rollback;\n"));
}

before(async () => {
  await platform.start();
  officerKey = platform.cli("user", "create", "dora", "--role", "privacy-officer").apiKey;
  assistant = await logIn(platform, platform.cli("mate", "create", "assistant").apiKey);
  inside = await connect({ servers: platform.endpoints.nats, authenticator: credsAuthenticator(readFileSync(join(platform.data, "keys", "platform.creds"))) });
});

beforeEach(() => {
  person = `marigold${"abcdefghijklmnop"[number++]}`; // letters only: a word, as far as anybody can tell
  key = platform.cli("user", "create", person).apiKey;
});

after(async () => {
  await inside?.close();
  await assistant?.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("a consent that comes to life in the middle of an erasure is revoked before its person's name goes", async () => {
  const { consentId } = grant();
  const goOn = await stopErasures();
  const { requestId, pseudonym } = await erase();
  const state = () => sql(`select status from intra365.consent_records where consent_id = '${consentId}'`)[0];
  await eventually("the first revocation", () => state() === "revoked");
  const [before] = sql(`update intra365.consent_records set status = 'active', granted = true, revoked_at = null where consent_id = '${consentId}' returning mate_epoch`);
  await goOn();
  await done(requestId);
  const [row] = sql(`select status || ' ' || granted || ' ' || (mate_epoch > ${before}) || ' ' || user_id from intra365.consent_records where consent_id = '${consentId}'`);
  assert.equal(row, `revoked false true ${pseudonym}`, "and its Mate is told: the epoch has moved");
  assert.deepEqual(sql(`select event || ' ' || user_id from intra365.consent_history where consent_id = '${consentId}' order by sequence`), [`granted ${pseudonym}`, `revoked ${pseudonym}`, `revoked ${pseudonym}`]);
  assert.deepEqual(named(), []);
});

test("a row that an active consent stands in is not renamed, whoever asks", () => {
  const { consentId } = grant();
  const step = (table) => sql(`begin; set local role intra365_service; set local intra365.tenant = 'default';
    select outcome from intra365.erase_rows('default', '${person}', 'erased-${"0".repeat(32)}', 'none', '${table}', null, 100); rollback`)[0];
  for (const table of ["consent_records", "consent_history", "consent_identities"]) assert.equal(step(table), "standing", table);
  assert.equal(step("tokens"), "done");
  platform.cliAs(key, "consent", "revoke", "--consent", consentId);
  assert.equal(step("consent_records"), "done");
});

test("a legal hold that comes after an erasure was accepted stops it until its release", async () => {
  const goOn = await stopErasures();
  const { requestId } = await erase();
  await eventually("the lock-out", () => sql(`select count(*) from intra365.api_keys where principal_id = '${person}' and revoked_at is not null`)[0] === "1");
  const { hold } = platform.cli("audit", "hold", "lawsuit 4711", "--user", person);
  await goOn();
  const waits = await eventually("the hold to be met", async () => ((await status(requestId)).held ? status(requestId) : undefined));
  assert.deepEqual([waits.state, waits.rows, waits.messages], ["working", 0, 0]);
  assert.equal(sql(`select count(*) from intra365.users where user_id = '${person}'`)[0], "1");
  platform.cli("audit", "release", hold.holdId);
  await done(requestId);
  assert.deepEqual(named(), []);
});

test("of a hold and an erasure that come at once, one is first and the other knows it", async () => {
  // An acceptance that has looked and not yet written: the hold waits for it.
  const accepting = spawn("psql", [platform.endpoints.postgres, "-qAtX"], { stdio: ["pipe", "pipe", "inherit"] });
  const looked = new Promise((ok) => accepting.stdout.on("data", (text) => /^t/m.test(String(text)) && ok()));
  accepting.stdin.write(`begin; set intra365.tenant = 'default'; select intra365.begin_erasure('default', 'at-once', '${person}', '\\x00', 'erased-${"1".repeat(32)}', now());\n`);
  await looked;
  const placing = spawn(join(binaries, "intra365"), ["--data", platform.data, "audit", "hold", "at once", "--user", person]);
  await eventually("the hold waits", () => sql("select count(*) from pg_locks where locktype = 'advisory' and not granted")[0] !== "0");
  accepting.stdin.end("rollback;\n");
  await new Promise((ended) => placing.on("exit", ended));
  assert.equal((await erase()).code, "privacy.held");
  platform.cli("audit", "release", sql("select hold_id from intra365.legal_holds where reason = 'at once'")[0]);
});

test("what names somebody after their erasure can be erased again, under the pseudonym of before", async () => {
  const first = await erase();
  await done(first.requestId);
  assert.deepEqual((await request(assistant, "intra365.audit.append", { entries: [{ entryId: "came-late", at: new Date().toISOString(), source: "x", actor: "mate:assistant", action: "call", resource: `mate:assistant/calendar/${person}`, outcome: "allowed", userId: person, scopes: [], count: 1 }] })).error, undefined);
  await eventually("the late entry", () => sql(`select count(*) from intra365.data_access_logs where user_id = '${person}'`)[0] === "1");
  assert.equal((await erase({ again: "unknown" })).code, "privacy.unknown_request");
  const second = await erase({ again: first.requestId });
  assert.equal(second.pseudonym, first.pseudonym, JSON.stringify(second));
  await done(second.requestId);
  assert.equal(sql(`select count(*) from intra365.data_access_logs where user_id = '${first.pseudonym}'`)[0], "1");
  assert.deepEqual(named(), []);
  assert.equal((await erase()).code, "privacy.unknown_person", "nothing is left to erase");
  for (const other of ["nobody", "assistant"]) assert.equal((await officer("/v1/privacy/erase", { userId: other, confirm: other })).code, "privacy.unknown_person", other);
  assert.equal(platform.cli("audit", "verify").intact, true);
});

test("an erasure that is asked for twice is one", async () => {
  const goOn = await stopErasures();
  const first = await erase();
  const second = await erase();
  await goOn();
  assert.deepEqual([second.requestId, second.pseudonym], [first.requestId, first.pseudonym]);
  await done(first.requestId);
});

test("the cache of consents has the pseudonym, and comparing it finds nothing", async () => {
  const one = grant();
  grant(["research"]);
  assert.deepEqual(reconcile(), { missing: 0, altered: 0, unknown: 0 });
  const { requestId, pseudonym } = await erase();
  await done(requestId);
  assert.deepEqual(reconcile(), { missing: 0, altered: 0, unknown: 0 });
  const manager = await jetstreamManager(inside);
  const entry = await manager.streams.getMessage("KV_consents", { last_by_subj: `$KV.consents.default.${one.consentId}` });
  assert.equal(entry.json().userId, pseudonym);
  assert.equal(sql("select count(*) from intra365.system_events where type = 'consent.cache_differed'")[0], "0");
});

test("events, keys and changes that were set aside are found wherever a Mate has put the person", async () => {
  const [account] = sql("select account from intra365.tenants where tenant_id = 'default'");
  const client = jetstream(inside);
  const put = async (subject, payload, head = {}) => {
    const headers = natsHeaders();
    for (const [name, value] of Object.entries(head)) headers.set(name, value);
    return (await client.publish(subject, payload, { headers })).seq;
  };
  const manager = await jetstreamManager(inside);
  const stream = await manager.streams.find(`acct.${account}.intra365.events.ward.seen`);
  const aside = JSON.stringify({ table: "consent_history", row: { tenant_id: "default", padding: "x".repeat(50), user_id: person, more: "y".repeat(50) } });
  const foreign = aside.replace('"default"', '"elsewhere"');
  const halves = (text) => [text.slice(0, 60), text.slice(60)];
  const event = (data) => put(`acct.${account}.intra365.events.ward.seen`, JSON.stringify({ source: "/intra365/default", data }));
  const gone = [await event({ patient: person }), await event({ beds: [{ of: ["bob", person] }] }), await event({ note: `for user:${person}.` })];
  for (const [at, part] of halves(aside).entries()) gone.push(await put("change.aside.intra365_changes", part, { "Intra365-Change": "set-aside-1", "Intra365-Part": `${at + 1}/2` }));
  const stay = [await event({ patient: `${person}-b`, note: `say ${person}` }), await event({ status: person })];
  for (const [at, part] of halves(foreign).entries()) stay.push(await put("change.aside.intra365_changes", part, { "Intra365-Change": "set-aside-2", "Intra365-Part": `${at + 1}/2` }));
  const { requestId } = await erase();
  await done(requestId);
  const there = async (seq) => (await manager.streams.getMessage(stream, { seq }).catch(() => null)) !== null;
  for (const seq of gone) assert.equal(await there(seq), false, `message ${seq} is still there`);
  for (const seq of stay) assert.equal(await there(seq), true, `message ${seq} is gone`);
});

test("a Mate's epoch is not a person's, although both have one name", async () => {
  sql(`insert into intra365.consent_epochs values ('default', 'mate', '${person}', 77)`);
  const { requestId } = await erase();
  await done(requestId);
  assert.deepEqual(sql(`select kind || ' ' || epoch from intra365.consent_epochs where id = '${person}'`), ["mate 77"]);
});

test("an erasure goes through large tables step by step, and goes on after a crash", { timeout: 180_000 }, async () => {
  sql(`insert into intra365.data_access_logs (tenant_id, entry_id, at, user_id, actor, resource, outcome, scopes)
       select 'default', 'many-' || n, now() - n * interval '1 second', case when n % 100 = 0 then '${person}' else 'bob' end, 'mate:assistant', 'mate:assistant/x', 'allowed', '{}' from generate_series(1, 20000) n`);
  const { requestId, pseudonym } = await erase();
  await eventually("the middle of it", async () => (await status(requestId)).rows > 0 || sql(`select count(*) from intra365.data_access_logs where user_id = '${pseudonym}'`)[0] !== "0");
  await inside.close();
  await assistant.connection.close();
  await platform.kill();
  await platform.start();
  sql("update intra365.privacy_requests set next_sweep = now() where state = 'working'"); // the claim of the one that fell
  await done(requestId);
  assert.deepEqual(named(), []);
  assert.deepEqual(sql(`select count(*) from intra365.data_access_logs where entry_id like 'many-%' group by user_id order by 1`), ["200", "19800"]);
});

test("what an instance found whose claim another has taken is not written any more", async () => {
  const goOn = await stopErasures();
  const { requestId } = await erase();
  await eventually("the lock-out", () => sql(`select count(*) from intra365.api_keys where principal_id = '${person}' and revoked_at is not null`)[0] === "1");
  sql(`update intra365.privacy_requests set state = 'done', resolved_at = '2020-01-01', claim = claim + 1 where request_id = '${requestId}'`);
  await goOn();
  await eventually("the instance has swept", () => sql(`select count(*) from intra365.users where user_id = '${person}'`)[0] === "0");
  const next = platform.cli("user", "create", `${person}z`);
  assert.ok(next.apiKey);
  const { requestId: other } = await officer("/v1/privacy/erase", { userId: `${person}z`, confirm: `${person}z` });
  await done(other); // the same instance has gone on to another one
  assert.deepEqual(sql(`select state || ' ' || resolved_at::date from intra365.privacy_requests where request_id = '${requestId}'`), ["done 2020-01-01"]);
});
