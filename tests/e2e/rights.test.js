// People's rights, as a new user would try them: proof that verifies without the platform, a copy of everything, requests
// with deadlines, who used what, and an erasure after which nothing names the person any more.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { jetstreamManager } from "@nats-io/jetstream";
import { Platform, binaries, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";

// A name that stands nowhere else, and data that only this person has.
const person = "quilliam-7f3a9c";
const address = "203.0.113.77";
const shown = "May Marmalade read your calendar?";
const platform = new Platform();
let personKey, officerKey, user, admin, assistant, analyzer;

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text], { encoding: "utf8" }).split("\n").filter(Boolean);
const path = (name) => join(platform.data, name);
const json = (name) => JSON.parse(readFileSync(path(name), "utf8"));
/** A command that needs no platform: run without its data directory. */
const offline = (...args) => {
  const done = spawnSync(join(binaries, "intra365"), ["--data", path("nothing-here"), ...args], { encoding: "utf8" });
  return { code: done.status, text: done.stdout + done.stderr };
};
const asPerson = (...args) => platform.cliAs(personKey, ...args);
const asOfficer = (...args) => platform.cliAs(officerKey, ...args);
const refusedTo = (key, pattern, ...args) => {
  const done = spawnSync(join(binaries, "intra365"), ["--data", platform.data, ...args], { encoding: "utf8", env: { ...process.env, INTRA365_API_KEY: key } });
  assert.equal(done.status, 1, done.stdout);
  assert.match(done.stderr, pattern);
};
const wish = (mateId, scopes, purposes) => ({ userId: person, mateId, scopes, purposes });
const use = async () => (await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": person })).reply;

before(async () => {
  await platform.start();
  personKey = platform.cli("user", "create", person, "--country", "DE").apiKey;
  officerKey = platform.cli("user", "create", "dora", "--role", "privacy-officer").apiKey;
  analyzer = platform.analyzer(platform.cli("mate", "create", "image-analyzer").apiKey);
  assistant = await logIn(platform, platform.cli("mate", "create", "assistant").apiKey);
  user = await logIn(platform, personKey);
  admin = await logIn(platform, platform.adminKey);
  await eventually("the analyzer's registration", async () => (await request(assistant, "intra365.registry.discover", { capability: "image-analysis" })).reply.mates?.length === 1);
  writeFileSync(path("keys.json"), JSON.stringify(asPerson("privacy", "keys")));
});

after(async () => {
  for (const session of [user, admin, assistant]) await session?.connection.close();
  analyzer?.kill("SIGTERM");
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

let consentId;

test("a receipt proves a consent without the platform, and every change of it breaks it", async () => {
  const proof = { address, userAgent: "Marmalade/1.0", language: "en", text: shown };
  const granted = (await request(user, "intra365.consent.grant", { ...wish("assistant", ["calendar", "profile"], ["analytics"]), method: "console", noticeVersion: "n7", proof })).reply;
  ({ consentId } = granted);
  asPerson("consent", "narrow", consentId, "--scopes", "calendar.read");
  asPerson("consent", "receipt", "show", consentId, "--out", path("first.json"));
  const holds = offline("consent", "receipt", "verify", path("first.json"), "--keys", path("keys.json"));
  assert.equal(holds.code, 0, holds.text);
  assert.match(holds.text, new RegExp(`consent ${consentId} of ${person} to assistant was active[^]*calendar.read for analytics[^]*2 changes`));
  const { document } = json("first.json");
  assert.match(document.schema_version, /27560/);
  assert.deepEqual(document.event.map((event) => event.event_state), ["granted", "narrowed"]);
  assert.equal(statSync(path("first.json")).mode & 0o77, 0, "only its owner may read it");

  for (const [what, change] of [
    ["document", (receipt) => (receipt.document.pii_types = ["calendar", "profile"])],
    ["chain", (receipt) => receipt.document.proof.chain.pop()],
    ["signature", (receipt) => (receipt.signature = receipt.signature.slice(0, -4) + "AAAA")],
  ]) {
    const forged = json("first.json");
    change(forged);
    writeFileSync(path("forged.json"), JSON.stringify(forged));
    const refused = offline("consent", "receipt", "verify", path("forged.json"), "--keys", path("keys.json"));
    assert.equal(refused.code, 1, what);
    assert.match(refused.text, /attestation\.broken|token\.bad_signature/, what);
  }
  // Printed anew, with white space and another order of members, it is the same receipt.
  writeFileSync(path("pretty.json"), JSON.stringify({ signature: json("first.json").signature, document: Object.fromEntries(Object.entries(document).reverse()) }, null, 2));
  assert.equal(offline("consent", "receipt", "verify", path("pretty.json"), "--keys", path("keys.json")).code, 0);
  writeFileSync(path("other-keys.json"), JSON.stringify({ keys: [] }));
  assert.equal(offline("consent", "receipt", "verify", path("first.json"), "--keys", path("other-keys.json")).code, 1);

  asPerson("consent", "revoke", "--consent", consentId);
  asPerson("consent", "receipt", "show", consentId, "--out", path("second.json"));
  const continued = offline("consent", "receipt", "verify", path("second.json"), "--keys", path("keys.json"), "--earlier", path("first.json"));
  assert.equal(continued.code, 0, continued.text);
  assert.match(continued.text, /was revoked/);
  assert.equal(offline("consent", "receipt", "verify", path("first.json"), "--keys", path("keys.json"), "--earlier", path("second.json")).code, 1);
  const token = await platform.token(personKey);
  const http = await platform.http("GET", `/v1/consents/${consentId}/receipt`, { token });
  assert.equal(http.status, 200, http.text);
  assert.deepEqual(http.json.document.proof.chain, json("second.json").document.proof.chain);
});

test("a history that was rewritten in the database yields no receipt", () => {
  const [before] = sql(`select scopes::text from intra365.consent_history where consent_id = '${consentId}' and event = 'granted'`);
  sql(`update intra365.consent_history set scopes = '{everything}' where consent_id = '${consentId}' and event = 'granted'`);
  try {
    refusedTo(personKey, /consent\.bad_receipt[^]*proof\.chain\[0\]/, "consent", "receipt", "show", consentId);
  } finally {
    sql(`update intra365.consent_history set scopes = '${before}' where consent_id = '${consentId}' and event = 'granted'`);
  }
});

test("evidence lies sealed, for the person and privacy officers only", () => {
  for (const read of [asPerson, asOfficer]) {
    const { entries } = read("consent", "evidence", consentId);
    assert.deepEqual(entries.map(({ event, evidence }) => [event, evidence.address, evidence.text]), [["granted", address, shown]]);
  }
  refusedTo(platform.adminKey, /consent\.unknown/, "consent", "evidence", consentId);
  const stranger = platform.cli("user", "create", "stranger").apiKey;
  refusedTo(stranger, /consent\.unknown/, "consent", "evidence", consentId);
  refusedTo(stranger, /consent\.unknown/, "consent", "receipt", "show", consentId);
  for (const table of ["consent_evidence", "consent_history", "consent_records"])
    assert.deepEqual(sql(`select 1 from intra365.${table} t where t::text like '%${address}%' or t::text like '%Marmalade%'`), [], table);
});

test("from where somebody answered, and where their paper lies, is shown to them and to privacy officers only", async () => {
  const gwen = await logIn(platform, platform.cli("user", "create", "gwen").apiKey);
  const whole = { ipAddress: "198.51.100.9", userAgent: "Gwenscape/2", note: "spring" };
  const wish = { userId: "gwen", mateId: "assistant", scopes: ["calendar"], purposes: ["analytics"] };
  await request(gwen, "intra365.consent.grant", { ...wish, metadata: whole });
  await request(gwen, "intra365.consent.grant", { ...wish, scopes: ["mail"], metadata: { ipAddress: whole.ipAddress } });
  await request(gwen, "intra365.consent.refuse", { ...wish, scopes: ["health"], evidence: "drawer nine" });
  const seen = async (session) => {
    const { consents } = (await request(session, "intra365.consent.query", {})).reply;
    const { entries } = (await request(session, "intra365.consent.audit", {})).reply;
    const hers = (all) => all.filter((one) => one.userId === "gwen");
    return [hers(consents).map((one) => one.metadata ?? null).filter((one) => one).sort((a) => (a.note ? -1 : 1)), hers(entries).flatMap((one) => one.evidence ?? [])];
  };
  assert.deepEqual(await seen(gwen), [[whole, { ipAddress: whole.ipAddress }], ["drawer nine"]]);
  for (const other of [assistant, admin]) assert.deepEqual(await seen(other), [[{ note: "spring" }], []]);
  await gwen.connection.close();
});

test("a household's receipt is for its keepers, not for whoever else lives there", async () => {
  const keeperKey = platform.cli("user", "create", "keira").apiKey, memberKey = platform.cli("user", "create", "milo").apiKey;
  const keeper = await logIn(platform, keeperKey);
  const { householdId } = (await request(keeper, "intra365.consent.found_household", {})).reply;
  await request(keeper, "intra365.consent.invite_to_household", { householdId, userId: "milo" });
  platform.cliAs(memberKey, "consent", "household", "join", householdId);
  platform.cli("consent", "catalogue", "purpose", "shopping", "--inheritable");
  const granted = await eventually("the household's consent", async () => {
    const { reply, error } = await request(keeper, "intra365.consent.grant_inherited", { householdId, mateId: "assistant", purposes: ["shopping"], scopes: ["mail"] });
    return error ? undefined : reply;
  });
  platform.cliAs(keeperKey, "consent", "receipt", "show", granted.consentId, "--out", path("household.json"));
  const holds = offline("consent", "receipt", "verify", path("household.json"), "--keys", path("keys.json"));
  assert.equal(holds.code, 0, holds.text);
  assert.match(holds.text, new RegExp(`of household:${householdId} to assistant was active`));
  refusedTo(memberKey, /consent\.unknown/, "consent", "receipt", "show", granted.consentId);
  refusedTo(personKey, /consent\.unknown/, "consent", "receipt", "show", granted.consentId);
  await keeper.connection.close();
});

test("an export is everything, signed, without secrets, and for nobody else", async () => {
  asPerson("privacy", "export", "--out", path("export.json"));
  const checked = offline("privacy", "verify", path("export.json"), "--keys", path("keys.json"));
  assert.equal(checked.code, 0, checked.text);
  const rows = json("export.json").flatMap((page) => page.document.rows);
  const tables = new Set(rows.map((row) => row.table));
  for (const table of ["users", "principals", "api_keys", "tokens", "consent_records", "consent_history", "consent_evidence", "audit_logs", "privacy_requests"]) assert.ok(tables.has(table), `${table} in ${[...tables]}`);
  assert.equal(rows.find((row) => row.table === "consent_evidence" && row.row.evidence)?.row.evidence.text, shown);
  const text = readFileSync(path("export.json"), "utf8");
  for (const secret of ["secret_hash", "token_hash", "sealed"]) assert.ok(!text.includes(secret), secret);
  assert.ok(!text.includes(personKey.split(".").at(-1)));
  assert.ok(rows.every(({ row }) => JSON.stringify(row).includes(person) || row.evidence), "nobody else's rows");

  const forged = json("export.json");
  forged[0].document.rows.pop();
  writeFileSync(path("forged.json"), JSON.stringify(forged));
  assert.equal(offline("privacy", "verify", path("forged.json"), "--keys", path("keys.json")).code, 1);
  writeFileSync(path("forged.json"), JSON.stringify([]));
  assert.match(offline("privacy", "verify", path("forged.json"), "--keys", path("keys.json")).text, /last page is missing/);
  refusedTo(platform.adminKey, /access\.not_yours/, "privacy", "export", "--user", person);
  asOfficer("privacy", "export", "--user", person, "--out", path("by-officer.json"));
});

test("a long export comes in pages that are linked", async () => {
  sql(`insert into intra365.data_access_logs (tenant_id, entry_id, at, user_id, actor, resource, outcome, scopes)
       select 'default', 'long-' || n, now(), '${person}', 'mate:assistant', 'mate:assistant/' || repeat('x', 300), 'allowed', '{}' from generate_series(1, 3000) n`);
  asPerson("privacy", "export", "--out", path("long.json"));
  const pages = json("long.json");
  assert.ok(pages.length > 2, `${pages.length} pages`);
  const rows = pages.flatMap((page) => page.document.rows).filter((row) => row.table === "data_access_logs" && row.row.entry_id.startsWith("long-"));
  assert.equal(new Set(rows.map((row) => row.row.entry_id)).size, 3000);
  assert.equal(offline("privacy", "verify", path("long.json"), "--keys", path("keys.json")).code, 0);
  writeFileSync(path("forged.json"), JSON.stringify([pages[0], ...pages.slice(2)]));
  assert.match(offline("privacy", "verify", path("forged.json"), "--keys", path("keys.json")).text, /a page is missing/);
});

test("nobody writes a cursor of an export: neither a place behind what is left out, nor somebody else's", async () => {
  const page = (body) => request(user, "intra365.privacy.export", { userId: person, ...body });
  const { nextCursor } = (await page({})).reply;
  assert.ok(nextCursor);
  assert.equal((await page({ cursor: nextCursor })).reply.document.page, 2);
  const changed = nextCursor.slice(0, -2) + (nextCursor.endsWith("AA") ? "BB" : "AA");
  const signature = (await page({})).reply.signature;
  for (const cursor of ["0.0.2", `99999.0.2~${signature}`, changed, nextCursor.slice(4), "x".repeat(9000), ""]) assert.equal((await page({ cursor })).error, "request.bad_value", cursor.slice(0, 40));
  const officer = await logIn(platform, officerKey);
  const other = platform.cli("user", "create", "otherwise").userId;
  assert.equal((await request(officer, "intra365.privacy.export", { userId: other, cursor: nextCursor })).error, "request.bad_value");
  await officer.connection.close();
});

test("rows that come between two pages of an export move none of the others", async () => {
  const pages = [];
  for (let cursor; ; ) {
    const { reply } = await request(user, "intra365.privacy.export", { userId: person, cursor });
    pages.push(reply);
    cursor = reply.nextCursor;
    if (!cursor) break;
    // In front of what was read last, and in place of what was read first.
    sql(`insert into intra365.data_access_logs (tenant_id, entry_id, at, user_id, actor, resource, outcome, scopes)
         select 'default', 'between-${pages.length}-' || n, now() - interval '1 day', '${person}', 'mate:assistant', 'mate:assistant', 'allowed', '{}' from generate_series(1, 50) n`);
  }
  const read = pages.flatMap((page) => page.document.rows).filter((row) => row.table === "data_access_logs" && row.row.entry_id.startsWith("long-")).map((row) => row.row.entry_id);
  assert.deepEqual([read.length, new Set(read).size], [3000, 3000]);
  sql("delete from intra365.data_access_logs where entry_id like 'between-%'");
});

test("requests have deadlines, officers answer them, profiles are corrected", async () => {
  const asked = asPerson("privacy", "request", "rectification", "My birthday is wrong.");
  assert.equal(asked.state, "open");
  assert.ok(Date.parse(asked.dueAt) - Date.now() > 27 * 86400_000);
  const optedOut = asPerson("privacy", "request", "opt_out", "Do not sell my data.");
  assert.ok(Date.parse(optedOut.dueAt) - Date.now() < 24 * 86400_000);
  sql(`update intra365.privacy_requests set due_at = now() - interval '1 day' where request_id = '${optedOut.requestId}'`);
  assert.deepEqual(asOfficer("privacy", "requests", "--open").requests.map(({ requestId, overdue }) => [requestId, overdue]), [[optedOut.requestId, true], [asked.requestId, false]]);
  refusedTo(personKey, /access\.not_yours/, "privacy", "resolve", asked.requestId, "I say so");
  assert.equal(asOfficer("privacy", "resolve", asked.requestId, "Corrected.").state, "done");
  refusedTo(officerKey, /privacy\.not_open/, "privacy", "resolve", asked.requestId, "Twice.");
  refusedTo(officerKey, /privacy\.unknown_request/, "privacy", "resolve", "nothing", "Never.");
  assert.deepEqual([...new Set(asPerson("privacy", "requests").requests.map((one) => one.kind))].sort(), ["access", "opt_out", "rectification"]);
  const corrected = asPerson("privacy", "correct", "--name", "Quilliam Fothergill", "--country", "FR");
  assert.deepEqual([corrected.displayName, corrected.country], ["Quilliam Fothergill", "FR"]);
  refusedTo(personKey, /two letters/, "privacy", "correct", "--country", "fr");
  refusedTo(platform.adminKey, /access\.not_yours/, "privacy", "correct", "--user", person, "--name", "x");
});

test("every use of a person's data is told to them, with the consent it was under", async () => {
  const granted = (await request(user, "intra365.consent.grant", wish("image-analyzer", ["image.analyze"], ["ai-assistance"]))).reply;
  await eventually("a first analysis", async () => (await use()).format === "png");
  const entry = await eventually("the access", () => asPerson("privacy", "access", "--mate", "assistant").entries.find((one) => one.consentId === granted.consentId && one.outcome === "allowed"));
  assert.deepEqual([entry.userId, entry.purpose, entry.scopes, entry.recordedBy], [person, "ai-assistance", ["image.analyze"], "mate:image-analyzer"]);
  assert.match(entry.resource, /mate:image-analyzer\/image-analysis\/analyze-image/);
  assert.ok(asOfficer("privacy", "access", "--user", person).entries.length >= 1);
  refusedTo(platform.adminKey, /access\.not_yours/, "privacy", "access", "--user", person);
});

test("the map of personal data names every column that can name a person", () => {
  const known = new Set(sql("select table_name || '.' || column_name from intra365.personal_columns"));
  const columns = sql(`select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'intra365'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
      and (a.attname in ('user_id', 'principal_id', 'actor', 'subject', 'display_name', 'email', 'resource') or a.attname like '%\\_by')`);
  // Rows that go with a column that is mapped, and a digest that says nothing once its salt is gone.
  const elsewhere = new Set(["users.display_name", "user_identities.subject", "consent_history.subject", "consent_records.superseded_by", "consent_history.superseded_by", "mates.mate_id"]);
  const text = sql("select 'mates.' || column_name from information_schema.columns where false");
  assert.deepEqual([...columns, ...text].filter((column) => !known.has(column) && !elsewhere.has(column)), []);
  for (const column of known) {
    const [table, name] = column.split(".");
    assert.equal(sql(`select count(*) from information_schema.columns where table_schema = 'intra365' and table_name = '${table}' and column_name = '${name}'`)[0], "1", column);
  }
});

/** Everything below a folder that holds the bytes of one of the words. */
function filesWith(folder, words) {
  const found = [];
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const file = join(folder, entry.name);
    if (entry.isDirectory()) found.push(...filesWith(file, words));
    else if (entry.isFile()) {
      const bytes = readFileSync(file);
      for (const word of words) if (bytes.includes(word)) found.push(`${file}: ${word}`);
    }
  }
  return found;
}

async function messagesWith(words) {
  const creds = readFileSync(join(platform.data, "keys", "platform.creds"));
  const inside = await connect({ servers: platform.endpoints.nats, authenticator: credsAuthenticator(creds) });
  const found = [];
  let seen = 0;
  try {
    const manager = await jetstreamManager(inside);
    for await (const stream of manager.streams.list()) {
      const { state, config } = stream;
      for (let seq = state.first_seq; seq <= state.last_seq; ++seq) {
        const message = await manager.streams.getMessage(config.name, { seq }).catch(() => null);
        if (!message) continue;
        ++seen;
        const text = message.subject + new TextDecoder().decode(message.data) + JSON.stringify(message.header ?? "");
        for (const word of words) if (text.includes(word)) found.push(`${config.name} ${seq}: ${text.slice(0, 300)}`);
      }
    }
  } finally {
    await inside.close();
  }
  return { found, seen };
}

const rowsWith = (words) =>
  sql(`select quote_ident(c.relname) from pg_class c where c.relnamespace = 'intra365'::regnamespace and c.relkind in ('r', 'p', 'm') and not c.relispartition`).flatMap((table) =>
    words.flatMap((word) => sql(`select '${table}: ' || left(t::text, 300) from intra365.${table} t where t::text ilike '%${word}%' limit 3`)));

test("a legal hold and a wrong confirmation refuse an erasure, and nobody erases others", async () => {
  const hold = platform.cli("audit", "hold", "lawsuit 4711", "--user", person);
  refusedTo(officerKey, /privacy\.held/, "privacy", "erase", "--user", person, "--confirm", person);
  platform.cli("audit", "release", hold.hold?.holdId ?? hold.holdId);
  refusedTo(officerKey, /privacy\.unconfirmed/, "privacy", "erase", "--user", person, "--confirm", "dora");
  refusedTo(officerKey, /privacy\.unknown_person/, "privacy", "erase", "--user", "nobody", "--confirm", "nobody");
  refusedTo(platform.adminKey, /access\.not_yours/, "privacy", "erase", "--user", person, "--confirm", person);
});

test("after an erasure nothing names the person: no table, no stream, no bucket, no log", { timeout: 120_000 }, async () => {
  // Traffic of every kind first, and a namesake in another tenant who must stay.
  await use();
  await request(assistant, "intra365.consent.as_of", { userId: person, mateId: "assistant", scopes: ["calendar"], purpose: "analytics" });
  await request(user, "intra365.consent.refuse", { ...wish("assistant", ["health"], ["marketing"]), evidence: `paper of ${person}` });
  await request(admin, "intra365.policy.evaluate", { subject: `user:${person}`, action: "read", resource: `calendar:${person}` });
  const token = await platform.token(personKey);
  await platform.http("GET", `/v1/privacy/access?userId=${person}`, { token });
  await platform.http("POST", "/v1/consents", { token, body: { ...wish("assistant", ["mail"], ["analytics"]), metadata: { note: `asked by ${person}` } } });
  await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", new Uint8Array([1]), { "X-User-Id": person });
  // A household with a consent, and somebody who was invited by them.
  platform.cli("user", "create", "hugo");
  const { householdId } = (await request(user, "intra365.consent.found_household", {})).reply;
  await request(user, "intra365.consent.invite_to_household", { householdId, userId: "hugo" });
  await request(admin, "intra365.consent.define_purpose", { purpose: "analytics", description: "", inheritable: true });
  await eventually("the household's consent", async () => !(await request(user, "intra365.consent.grant_inherited", { householdId, mateId: "assistant", purposes: ["analytics"], scopes: ["mail"] })).error);
  const other = platform.cli("tenant", "create", "elsewhere").apiKey;
  platform.cliAs(other, "user", "create", person);
  // Entries that the database refused, and a message that nobody could read.
  const entry = (entryId) => ({ entryId, at: new Date().toISOString(), source: "platform", actor: `user:${person}`, action: "x.y", resource: `calendar:${person}/day`, outcome: "allowed", userId: person, scopes: [], count: 0 });
  const inside = await connect({ servers: platform.endpoints.nats, authenticator: credsAuthenticator(readFileSync(path("keys/platform.creds"))) });
  inside.publish("platform.audit", JSON.stringify([{ tenant: "default", entry: entry("refused") }, { tenant: "elsewhere", entry: entry("refused") }]));
  inside.publish("platform.audit", JSON.stringify({ tenant: "default", not: "records", of: [`user:${person}`] }));
  await inside.flush();
  await inside.close();
  await eventually("them to be set aside", () => sql("select 1 from intra365.audit_set_aside").length === 2 && sql("select 1 from intra365.system_events where type = 'audit.set_aside'").length === 1);
  assert.ok(rowsWith([person]).length > 10, "there is something to find");
  assert.ok((await messagesWith([person])).found.length > 5, "and in streams, too");

  const began = Date.now();
  const erased = asOfficer("privacy", "erase", "--user", person, "--confirm", person);
  console.log(`erased after ${Date.now() - began} ms: ${erased.rows} rows, ${erased.messages} messages`);
  assert.equal(erased.state, "done");
  assert.match(erased.pseudonym, /^erased-[0-9a-f]{32}$/);

  const words = [person, "Quilliam", address, "Marmalade", "birthday"];
  const rows = rowsWith(words);
  assert.ok(rows.every((row) => row.includes("elsewhere")), rows.filter((row) => !row.includes("elsewhere")).join("\n"));
  assert.ok(rows.length > 0, "the namesake of the other tenant is still there");
  const account = sql("select account from intra365.tenants where tenant_id = 'elsewhere'")[0];
  const { found, seen } = await messagesWith(words);
  assert.ok(seen > 20, "the streams were read");
  const ours = found.filter((text) => !text.includes("elsewhere") && !text.includes(account));
  assert.deepEqual(ours, []);
  for (const word of words) assert.ok(!platform.output.includes(word), `the program's log says ${word}`);
  const logs = readdirSync(platform.data).filter((name) => /log/.test(name)).map(path);
  assert.ok(logs.length > 0, readdirSync(platform.data).join(" "));
  for (const log of logs) assert.deepEqual(statSync(log).isDirectory() ? filesWith(log, words) : words.filter((word) => readFileSync(log).includes(word)), [], log);

  // What was set aside is still there to be brought back, under the pseudonym.
  const aside = JSON.parse(platform.cli("audit", "set-aside", "list").entries[0].entry);
  assert.deepEqual([aside.userId, aside.actor, aside.resource], [erased.pseudonym, `user:${erased.pseudonym}`, `calendar:${erased.pseudonym}/day`]);

  // They have left, and the household without a keeper has ended; that it was somebody's stays.
  const stays = sql(`select user_id || ' ' || invited_by || ' ' || (left_at is not null) from intra365.consent_household_members where household_id = '${householdId}' order by number`);
  assert.deepEqual(stays, [`${erased.pseudonym} user:${erased.pseudonym} true`, `hugo user:${erased.pseudonym} true`]);

  // The credentials are dead, and the trail is whole.
  await assert.rejects(platform.token(personKey), /bad_credentials/);
  assert.equal((await platform.http("GET", "/v1/privacy/requests", { token })).status, 401);
  const trail = platform.cli("audit", "verify");
  assert.equal(trail.intact, true, JSON.stringify(trail.problems));

  // The proof stays: the history under the pseudonym, and what the person kept shows that it was theirs.
  const history = (await request(admin, "intra365.consent.audit", { consentId })).reply.entries;
  assert.deepEqual(history.map((entry) => [entry.event, entry.userId]), [["granted", erased.pseudonym], ["narrowed", erased.pseudonym], ["revoked", erased.pseudonym]]);
  platform.cli("consent", "receipt", "show", consentId, "--out", path("third.json"));
  const still = offline("consent", "receipt", "verify", path("third.json"), "--keys", path("keys.json"), "--earlier", path("second.json"));
  assert.equal(still.code, 0, still.text);
  assert.match(still.text, /of somebody to assistant was revoked/);
  assert.equal(offline("consent", "receipt", "verify", path("second.json"), "--keys", path("keys.json")).code, 0);
  assert.deepEqual((await request(admin, "intra365.consent.query", {})).reply.consents.filter((one) => one.userId === erased.pseudonym && one.granted), []);
});

test("an entry of the trail that somebody changes under cover of an erasure is found", () => {
  const [row] = sql("select at::text || '|' || entry_id from intra365.audit_redactions limit 1");
  const [at, entry] = row.split("|");
  const where = `at = '${at}' and entry_id = '${entry}'`;
  const [outcome] = sql(`select outcome from intra365.audit_logs where ${where}`);
  sql(`update intra365.audit_logs set outcome = 'forged' where ${where}`);
  assert.deepEqual(spawnSync(join(binaries, "intra365"), ["--data", platform.data, "audit", "verify", "--json"], { encoding: "utf8" }).stdout.includes("entries_altered"), true);
  // A redaction changed to fit is one that the chain does not tell of.
  const verify = () => JSON.parse(spawnSync(join(binaries, "intra365"), ["--data", platform.data, "audit", "verify", "--json"], { encoding: "utf8" }).stdout);
  const fit = `update intra365.audit_redactions r set redacted = intra365.audit_digest(a) from intra365.audit_logs a where a.at = r.at and a.entry_id = r.entry_id and r.entry_id = '${entry}'`;
  sql(fit);
  assert.deepEqual(verify().problems.map((problem) => problem.code), ["redaction_unknown"]);
  sql(`update intra365.audit_logs set outcome = '${outcome}' where ${where}`);
  sql(fit);
  assert.equal(platform.cli("audit", "verify").intact, true);
  sql(`insert into intra365.audit_redactions (tenant_id, at, entry_id, erasure_id, sweep, recorded, redacted) select tenant_id, at, entry_id, 'invented', 1, intra365.audit_digest(a), intra365.audit_digest(a) from intra365.audit_logs a where action = 'auth.user.create' limit 1`);
  assert.deepEqual(verify().problems.map((problem) => problem.code), ["redaction_unknown"]);
  sql("delete from intra365.audit_redactions where erasure_id = 'invented'");
});
