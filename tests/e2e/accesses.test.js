// Who used whose data, page by page: complete for whoever has to show it, however much it is and whatever comes meanwhile.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Platform, binaries, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let officer, alice, officerKey, aliceKey;

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text], { encoding: "utf8" });
const access = (session, question) => request(session, "intra365.privacy.access", question);
const resources = (entries) => entries.map((entry) => entry.resource);
const insert = "insert into intra365.data_access_logs (tenant_id, entry_id, at, user_id, actor, resource, outcome, scopes)";

/** All pages; `between` is called after each. */
async function pages(session, question, between = () => {}) {
  const all = [];
  let cursor;
  do {
    const { reply, error } = await access(session, { ...question, ...(cursor && { cursor }) });
    assert.equal(error, undefined, JSON.stringify(reply));
    assert.ok(reply.entries.length <= question.limit, "a page holds what was asked for");
    all.push(...reply.entries);
    between(all.length);
    cursor = reply.nextCursor;
  } while (cursor);
  return all;
}

before(async () => {
  await platform.start();
  aliceKey = platform.cli("user", "create", "alice").apiKey;
  officerKey = platform.cli("user", "create", "dora", "--role", "privacy-officer").apiKey;
  alice = await logIn(platform, aliceKey);
  officer = await logIn(platform, officerKey);
  sql(`${insert} select 'default', 'use-' || n, now() - interval '1 hour', case when n % 2 = 0 then 'alice' else 'bob' end, 'mate:reader', 'mate:store/shelf/' || n, 'allowed', '{}' from generate_series(1, 2400) n`);
});

after(async () => {
  for (const session of [officer, alice]) await session?.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("pages together hold every use once, whatever is recorded meanwhile", async () => {
  // Uses of every page so far come again, later and earlier than those that are still to be read, and new ones in front.
  const found = await pages(officer, { limit: 200 }, (so_far) => {
    sql(`${insert} select 'default', 'again-${so_far}-' || n, now() - n * interval '1 second', case when n % 2 = 0 then 'alice' else 'bob' end, 'mate:reader', 'mate:store/shelf/' || n, 'allowed', '{}' from generate_series(1, 2400, 7) n`);
    sql(`${insert} values ('default', 'front-${so_far}', now(), 'aaron', 'mate:reader', 'mate:store/shelf/${so_far}', 'allowed', '{}')`);
  });
  const known = found.filter(({ userId }) => userId !== "aaron");
  assert.equal(known.length, 2400);
  assert.equal(new Set(resources(known)).size, 2400);
  assert.deepEqual([...new Set(found.map(({ userId }) => userId))], ["alice", "bob"], "person by person");
  const own = await pages(alice, { limit: 200 });
  assert.deepEqual([own.length, new Set(own.map(({ userId }) => userId)).size], [1200, 1]);
});

test("uses that differ in one thing only are told apart across pages, with what is absent", async () => {
  const alike = (id, rest) => `('default', 'alike-${id}', now(), 'carl', 'mate:reader', 'mate:store/one', ${rest})`;
  sql(`insert into intra365.data_access_logs (tenant_id, entry_id, at, user_id, actor, resource, outcome, consent_id, purpose, scopes, source) values
    ${[alike(1, "'allowed', null, null, '{}', null"), alike(2, "'denied', null, null, '{}', null"), alike(3, "'allowed', 'c1', null, '{}', null"), alike(4, "'allowed', 'c1', 'care', '{}', null"), alike(5, "'allowed', 'c1', 'care', '{mail}', null"), alike(6, "'allowed', 'c1', 'care', '{mail}', 'platform'"), alike(7, "'allowed', 'c1', 'care', '{mail,calendar}', 'platform'")].join(",")}`);
  const one_by_one = await pages(officer, { userId: "carl", limit: 1 });
  const at_once = (await access(officer, { userId: "carl" })).reply;
  assert.equal(at_once.nextCursor, undefined);
  assert.deepEqual(one_by_one, at_once.entries);
  assert.equal(one_by_one.length, 7);
  assert.equal(one_by_one.filter((entry) => entry.consentId === undefined && entry.recordedBy === undefined).length, 2);
});

test("a Mate is asked for as the one that used, and as the one that it was used with", async () => {
  const use = (id, actor, resource) => `('default', 'mate-${id}', now(), 'emma', '${actor}', '${resource}', 'allowed', '{}')`;
  sql(`${insert} values ${[use(1, "mate:a_c", "mate:other/x"), use(2, "mate:other", "mate:a_c/x/y"), use(3, "user:emma", "mate:a_c"), use(4, "mate:abc", "mate:abc/x"), use(5, "mate:other", "mate:a_cd/x"), use(6, "mate:a_cd", "calendar:mate:a_c/x")].join(",")}`);
  const found = (await access(officer, { userId: "emma", mateId: "a_c" })).reply.entries;
  assert.deepEqual(found.map(({ actor, resource }) => `${actor} ${resource}`).sort(), ["mate:a_c mate:other/x", "mate:other mate:a_c/x/y", "user:emma mate:a_c"]);
  assert.equal((await access(officer, { mateId: "a_c" })).reply.entries.length, 3, "of everybody, too");
});

test("without a time it is about the last thirty days, and a cursor keeps its times", async () => {
  const use = (days) => `('default', 'days-${days}', now() - interval '${days} days', 'fred', 'mate:reader', 'mate:store/${days}', 'allowed', '{}')`;
  sql(`${insert} values ${[1, 29, 31, 45, 70].map(use).join(",")}`);
  const ask = async (question) => resources(await pages(officer, { userId: "fred", limit: 1, ...question }));
  const ago = (days) => new Date(Date.now() - days * 86400_000).toISOString();
  assert.deepEqual(await ask({}), ["mate:store/1", "mate:store/29"]);
  assert.deepEqual(await ask({ until: ago(30) }), ["mate:store/31", "mate:store/45"]);
  assert.deepEqual(await ask({ since: ago(100) }), [1, 29, 31, 45, 70].map((days) => `mate:store/${days}`));
  assert.deepEqual(await ask({ since: ago(50), until: ago(40) }), ["mate:store/45"]);
});

test("what is no cursor or no limit is refused, and a cursor opens nothing of others", async () => {
  for (const cursor of ["", "no", Buffer.from("{}").toString("base64url"), "A".repeat(20_000)])
    assert.equal((await access(officer, { cursor })).error, "request.bad_value", cursor.slice(0, 20));
  for (const limit of [0, 201]) assert.equal((await access(officer, { limit })).error, "request.bad_value");
  const { reply } = await access(officer, { userId: "bob", limit: 1 });
  assert.equal((await access(alice, { userId: "bob", cursor: reply.nextCursor })).error, "access.not_yours");
  const hers = (await access(alice, { cursor: reply.nextCursor })).reply.entries;
  assert.deepEqual(hers.filter((entry) => entry.userId !== "alice"), []);
});

test("the command prints all pages, as sentences and as one document", () => {
  assert.equal(platform.cliAs(officerKey, "privacy", "access", "--user", "bob").entries.length, 1200);
  assert.ok(platform.cliAs(officerKey, "privacy", "access", "--mate", "store").entries.length >= 2400);
  const text = execFileSync(join(binaries, "intra365"), ["--data", platform.data, "privacy", "access"], { encoding: "utf8", env: { ...process.env, INTRA365_API_KEY: aliceKey } });
  assert.equal(text.trimEnd().split("\n").length, 1200);
  assert.match(text, /alice {2}by mate:reader {2}mate:store\/shelf\/\d+ {2}allowed/);
});
