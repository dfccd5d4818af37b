// What people say about themselves and what secrets are called lies sealed: nothing of it can be read in any table, a
// value opens at its own place only, and what was there before is sealed after an upgrade.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { Platform, binaries, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let personKey, officerKey, user, admin;
const words = { name: "Ottoline Brackwater", note: "blue-harbour-42", paper: "drawer seventeen", wish: "rename my kayak", answer: "kayak renamed", key: "the lighthouse laptop" };

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text], { encoding: "utf8" }).split("\n").filter(Boolean);
const anyWord = () => Object.values(words).map((word) => `t::text ilike '%${word}%'`).join(" or ");
const tables = () => sql("select quote_ident(c.relname) from pg_class c where c.relnamespace = 'intra365'::regnamespace and c.relkind in ('r', 'p', 'm') and not c.relispartition");
/** Rows of any table in which one of the words can be read, with the eyes of a superuser. */
const standing = () => sql(tables().map((table) => `select '${table}: ' || left(t::text, 300) from intra365.${table} t where ${anyWord()}`).join(" union all "));
const cells = {
  "users.display_name": "select display_name from intra365.users where user_id = 'ottoline'",
  "api_keys.name": "select name from intra365.api_keys where name is not null and principal_id = 'ottoline'",
  "consent_records.metadata": "select metadata #>> '{}' from intra365.consent_records where metadata <> 'null'",
  "consent_history.evidence": "select evidence from intra365.consent_history where evidence is not null",
  "privacy_requests.text": "select text from intra365.privacy_requests where text is not null",
  "privacy_requests.resolution": "select resolution from intra365.privacy_requests where resolution is not null and kind = 'rectification'",
};
const seals = () => Object.fromEntries(Object.entries(cells).map(([column, query]) => [column, sql(query)]));
const wish = (scopes) => ({ userId: "ottoline", mateId: "assistant", scopes, purposes: ["analytics"] });
/** What everybody who may reads, through the operations. */
async function read() {
  const { users } = platform.cli("user", "list");
  const consents = (await request(user, "intra365.consent.query", {})).reply.consents;
  const { reply: trail } = await request(user, "intra365.consent.audit", {});
  const asked = platform.cliAs(personKey, "privacy", "requests").requests.find(({ kind }) => kind === "rectification");
  const keys = (await request(admin, "intra365.auth.key.list", {})).reply.apiKeys;
  return {
    name: users.find(({ userId }) => userId === "ottoline").displayName,
    note: consents?.find(({ metadata }) => metadata)?.metadata.note,
    paper: trail.entries?.find(({ evidence }) => evidence)?.evidence,
    wish: asked.text,
    answer: asked.resolution,
    key: keys?.find(({ userId, name }) => userId === "ottoline" && name)?.name,
  };
}

before(async () => {
  await platform.start();
  personKey = platform.cli("user", "create", "ottoline").apiKey;
  officerKey = platform.cli("user", "create", "dora", "--role", "privacy-officer").apiKey;
  platform.cli("mate", "create", "assistant");
  user = await logIn(platform, personKey);
  admin = await logIn(platform, platform.adminKey);
});

after(async () => {
  for (const session of [user, admin]) await session?.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("after a session of real use none of the words stands in any table, and whoever may reads them all", async () => {
  platform.cliAs(personKey, "privacy", "correct", "--name", words.name);
  const granted = await request(user, "intra365.consent.grant", { ...wish(["calendar"]), metadata: { note: words.note } });
  assert.equal(granted.reply.metadata?.note, words.note, JSON.stringify(granted.reply));
  const refused = await request(user, "intra365.consent.refuse", { ...wish(["health"]), evidence: words.paper });
  assert.equal(refused.error, undefined);
  const asked = platform.cliAs(personKey, "privacy", "request", "rectification", words.wish);
  assert.equal(asked.text, words.wish);
  assert.equal(platform.cliAs(officerKey, "privacy", "resolve", asked.requestId, words.answer).resolution, words.answer);
  assert.equal((await request(admin, "intra365.auth.key.create", { userId: "ottoline", name: words.key })).error, undefined);

  assert.deepEqual(await read(), words);
  assert.deepEqual(standing(), []);
  for (const [column, values] of Object.entries(seals())) {
    assert.ok(values.length > 0, column);
    for (const value of values) assert.match(value, /^sealed:1:[A-Za-z0-9_-]{60,}$/, column);
  }
  // A change of the record keeps what goes with it.
  const narrowed = await request(user, "intra365.consent.suspend", { consentId: granted.reply.consentId });
  assert.equal(narrowed.reply.metadata?.note, words.note, JSON.stringify(narrowed.reply));
  const exported = join(platform.data, "export.json");
  platform.cliAs(personKey, "privacy", "export", "--out", exported);
  const text = readFileSync(exported, "utf8");
  for (const word of Object.values(words)) assert.ok(text.includes(word), `the person's copy says ${word}`);
});

test("people are found by their sealed name, in their own tenant only", () => {
  assert.deepEqual(platform.cli("user", "list", "--name", "ottoline brackwater").users.map(({ userId, displayName }) => [userId, displayName]), [["ottoline", words.name]]);
  assert.deepEqual(platform.cli("user", "list", "--name", "ottoline").users, []);
  const other = platform.cli("tenant", "create", "elsewhere").apiKey;
  const key = platform.cliAs(other, "user", "create", "ottoline").apiKey;
  platform.cliAs(key, "privacy", "correct", "--name", words.name);
  assert.deepEqual(platform.cliAs(other, "user", "list", "--name", words.name).users.length, 1);
  const [indexes] = sql("select count(distinct name_index) || ' of ' || count(*) from intra365.users where name_index is not null");
  assert.equal(indexes, "2 of 2", "the same name in two tenants has two indexes");
});

test("a value that was moved to another row, column or tenant, or changed, does not open", async () => {
  platform.cli("user", "create", "percival");
  const put = (value, id = "ottoline") => sql(`update intra365.users set display_name = '${value}' where tenant_id = 'default' and user_id = '${id}'`);
  const [own] = sql("select display_name from intra365.users where tenant_id = 'default' and user_id = 'ottoline'");
  const [elsewhere] = sql("select display_name from intra365.users where tenant_id = 'elsewhere' and user_id = 'ottoline'");
  const list = () => spawnSync(join(binaries, "intra365"), ["--data", platform.data, "user", "list"], { encoding: "utf8" });
  const changed = own.slice(0, -3) + (own.endsWith("AAA") ? "BBB" : "AAA");
  for (const [what, value, id] of [["row", own, "percival"], ["tenant", elsewhere, "ottoline"], ["column", seals()["api_keys.name"][0], "ottoline"], ["bytes", changed, "ottoline"], ["key's number", own.replace("sealed:1:", "sealed:9:"), "ottoline"], ["form", "sealed:x", "ottoline"]]) {
    put(value, id);
    const refused = list();
    assert.equal(refused.status, 1, `${what}: ${refused.stdout}`);
    assert.match(refused.stderr, /envelope\.broken/, what);
    sql("update intra365.users set display_name = null where tenant_id = 'default' and user_id = 'percival'");
    put(own);
  }
  // Two swapped consents' metadata, the way an insider would do it.
  await request(user, "intra365.consent.grant", { ...wish(["mail"]), metadata: { note: "another" } });
  const swap = "with a as (select consent_id, metadata, row_number() over (order by consent_id) n from intra365.consent_records where metadata <> 'null') update intra365.consent_records r set metadata = b.metadata from a join a b on b.n = 3 - a.n where r.consent_id = a.consent_id";
  sql(swap);
  assert.equal((await request(user, "intra365.consent.query", {})).error, "envelope.broken");
  sql(swap);
  assert.equal((await request(user, "intra365.consent.query", {})).error, undefined);
  assert.equal(list().status, 0);
});

test("services cannot list another tenant's values, nor put clear ones", () => {
  const asService = (text) => sql(`set role intra365_service; set intra365.tenant = 'elsewhere'; ${text}`);
  assert.equal(asService("select count(*) from intra365.values_to_seal('elsewhere', 'users', 'display_name', 'x', '', 10)")[0], "1");
  assert.throws(() => asService("select * from intra365.values_to_seal('default', 'users', 'display_name', 'x', '', 10)"), /another tenant/);
  assert.throws(() => asService("select * from intra365.values_to_seal('elsewhere', 'users', 'country', 'x', '', 10)"), /not sealed/);
  assert.throws(() => asService("select intra365.seal_value('elsewhere', 'users', 'display_name', 'ottoline', 'a', 'clear', null)"), /not sealed/);
  assert.throws(() => asService("delete from intra365.tenant_keys"), /permission denied/);
  assert.deepEqual(asService("select distinct tenant_id from intra365.tenant_keys"), ["elsewhere"]);
});

test("what stood clear before is sealed in the background, and found by its name", async () => {
  sql(`update intra365.users set display_name = '${words.name}', name_index = null where user_id = 'ottoline'`);
  sql(`update intra365.consent_records set metadata = '{"note": "${words.note}"}' where metadata <> 'null'`);
  sql(`update intra365.consent_history set evidence = '${words.paper}' where evidence is not null`);
  sql(`update intra365.privacy_requests set text = '${words.wish}', resolution = '${words.answer}' where kind = 'rectification'`);
  sql(`update intra365.api_keys set name = '${words.key}' where name is not null and principal_id = 'ottoline'`);
  assert.ok(standing().length >= 6);
  assert.deepEqual(await read(), words, "readable meanwhile");
  // As on the first start after the upgrade: nobody has a key yet, so nobody has been looked through.
  sql("update intra365.tenant_keys set checked_at = null");
  await eventually("everything is sealed", () => standing().length === 0);
  assert.deepEqual(await read(), words);
  assert.equal(platform.cli("user", "list", "--name", words.name).users.length, 1);
});

test("after a rotation everything is sealed anew, and the old key is forgotten", async () => {
  const rotated = platform.cli("privacy", "rotate-key");
  assert.deepEqual(rotated.keys.map(({ number }) => number), [2, 1]);
  await eventually("values under the new key", () => Object.values(seals()).flat().every((value) => /^sealed:[12]:/.test(value)) && sql("select 1 from intra365.users where tenant_id = 'default' and display_name like 'sealed:1:%'").length === 0);
  await eventually("nothing waits", () => platform.cli("privacy", "sealing").columns.every(({ waiting }) => waiting === 0));
  assert.deepEqual(await read(), words, "other instances open what was sealed with a key that they did not know");
  assert.equal(platform.cli("privacy", "sealing").keys[1].destroyedAt, undefined, "not while somebody may still seal with it");
  sql("update intra365.tenant_keys set made_at = made_at - interval '1 hour', checked_at = null where number = 2");
  await eventually("the old key is gone", () => platform.cli("privacy", "sealing").keys[1].destroyedAt);
  assert.deepEqual(sql("select number from intra365.tenant_keys where tenant_id = 'default' and kind = 'seal' and sealed_key is not null"), ["2"]);
  assert.deepEqual(await read(), words);
  const refused = spawnSync(join(binaries, "intra365"), ["--data", platform.data, "privacy", "rotate-key"], { encoding: "utf8", env: { ...process.env, INTRA365_API_KEY: personKey } });
  assert.equal(refused.status, 1, "an operator's");
});

test("every column of a person's words is sealed, or the guide says why it cannot be", () => {
  const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
  const guide = readFileSync(join(root, "docs/guides/sealed-columns.md"), "utf8");
  const sealed = sql("select table_name || '.' || column_name from intra365.sealed_columns order by 1");
  assert.deepEqual(sealed, Object.keys(cells).sort());
  const holding = sql("select table_name || '.' || column_name from intra365.personal_columns where holds in ('content', 'text', 'mention') union select 'users.country' order by 1");
  for (const column of [...sealed, ...holding]) assert.ok(guide.includes(`\`${column}\``), `docs/guides/sealed-columns.md says nothing of ${column}`);
});
