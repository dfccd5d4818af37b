// Requests of people have deadlines by law: whoever has to see to one hears before it is too late, and again when it is, once,
// however many programs look after it.
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Platform, binaries, eventually, logIn } from "./lib/platform.js";
import { serve } from "./lib/second.js";

const platform = new Platform();
const heard = { officer: [], operator: [], elsewhere: [] };
let second, officerKey, personKey;
const sessions = [];

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text], { encoding: "utf8" }).split("\n").filter(Boolean);
const due = (requestId, when) => sql(`update intra365.privacy_requests set due_at = now() + interval '${when}' where request_id = '${requestId}'`);
const submit = (text) => platform.cliAs(personKey, "privacy", "request", "rectification", text).requestId;
const told = (by, requestId) => by.filter(({ data }) => data.requestId === requestId).map(({ type }) => type.replace("intra365.privacy.", "")).filter((type) => type.startsWith("request_"));
const metric = async () => Number((await platform.http("GET", "/metrics")).text.match(/^intra365_privacy_requests_overdue (\S+)/m)?.[1]);

async function listen(key, into, subject) {
  const session = await logIn(platform, key);
  sessions.push(session);
  session.connection.subscribe(subject, { callback: (error, message) => into.push(error ? { error: String(error) } : message.json()) });
  await session.connection.flush();
}

/** Everything that was told before this has been heard when it returns. */
async function all_heard() {
  const last = submit("The last one.");
  await eventually("the last event", () => [heard.officer, heard.operator].every((by) => by.some(({ type, data }) => type === "intra365.privacy.requested" && data.requestId === last)));
}

before(async () => {
  await platform.start();
  personKey = platform.cli("user", "create", "alice").apiKey;
  officerKey = platform.cli("user", "create", "dora", "--role", "privacy-officer").apiKey;
  await listen(officerKey, heard.officer, "intra365.events.privacy.>");
  await listen(platform.adminKey, heard.operator, "intra365.events.>");
  await listen(platform.cli("tenant", "create", "elsewhere").apiKey, heard.elsewhere, "intra365.events.>");
  second = await serve(platform, ["privacy"]);
});

after(async () => {
  for (const session of sessions) await session.connection.close();
  second?.kill("SIGTERM");
  if (second) assert.equal((await second.ended).code, 0, second.output);
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("a request that is due within seven days is told of once, and once more when it is overdue", async () => {
  const [later, soon] = [submit("There is time."), submit("There is little time.")];
  due(later, "7 days 1 hour");
  due(soon, "6 days 23 hours");
  const first = await eventually("the first event", () => heard.officer.find(({ type, data }) => type === "intra365.privacy.request_due" && data.requestId === soon));
  assert.equal(first.source, "/intra365/default");
  assert.deepEqual(Object.keys(first.data).sort(), ["dueAt", "kind", "requestId"], "nobody is named");
  assert.equal(first.data.kind, "rectification");
  due(soon, "-1 minute");
  await eventually("the second event", () => told(heard.officer, soon).includes("request_overdue"));
  await eventually("the metric", async () => (await metric()) === 1);
  await all_heard();
  for (const by of [heard.officer, heard.operator]) {
    assert.deepEqual(told(by, soon), ["request_due", "request_overdue"]);
    assert.deepEqual(told(by, later), []);
  }
  assert.deepEqual(heard.elsewhere.filter(({ source }) => source !== "/intra365/elsewhere"), []);
  platform.cliAs(officerKey, "privacy", "resolve", soon, "Done.");
  platform.cliAs(officerKey, "privacy", "resolve", later, "Done.");
});

test("of many that are due at once each is told once, whoever looks", async () => {
  sql(`insert into intra365.privacy_requests (tenant_id, request_id, kind, user_id, due_at)
       select 'default', 'many-' || n, 'objection', 'alice', now() + case when n % 2 = 0 then interval '1 day' else interval '-1 day' end from generate_series(1, 1000) n`);
  // More that look at the same time, and see the same rows.
  const look = "set role intra365_service;" + "select intra365.tell_due_requests(604800, 100);".repeat(12);
  await Promise.all(Array.from({ length: 4 }, async () => {
    const psql = spawn("psql", [platform.endpoints.postgres, "-qAtX", "-v", "ON_ERROR_STOP=1", "-f", "-"], { stdio: ["pipe", "ignore", "inherit"] });
    psql.stdin.end(look);
    assert.deepEqual(await once(psql, "exit"), [0, null]);
  }));
  await eventually("all to be told of", () => sql("select 1 from intra365.privacy_requests where request_id like 'many-%' and due_told_at is null limit 1").length === 0);
  await all_heard();
  for (const by of [heard.officer, heard.operator]) {
    for (let n = 1; n <= 1000; ++n) assert.deepEqual(told(by, `many-${n}`), [n % 2 === 0 ? "request_due" : "request_overdue"], `many-${n}`);
  }
});

test("how many are overdue is a metric, and told to those who list requests", async () => {
  await eventually("the metric", async () => (await metric()) === 500);
  assert.equal(platform.cliAs(officerKey, "privacy", "requests").overdue, 500);
  assert.equal(platform.cliAs(personKey, "privacy", "requests").overdue, 500);
  const text = execFileSync(join(binaries, "intra365"), ["--data", platform.data, "privacy", "requests", "--open"], { encoding: "utf8", env: { ...process.env, INTRA365_API_KEY: officerKey } });
  assert.match(text, /\n500 overdue\n$/);
  sql("delete from intra365.privacy_requests where request_id like 'many-%'");
  await eventually("the metric to fall", async () => (await metric()) === 0);
  assert.equal(platform.cliAs(officerKey, "privacy", "requests").overdue, 0);
});

test("what is resolved is not told of any more", async () => {
  const answered = submit("Quickly.");
  platform.cliAs(officerKey, "privacy", "resolve", answered, "Done.");
  due(answered, "-1 day");
  const open = submit("Slowly.");
  due(open, "-1 day");
  await eventually("the open one", () => told(heard.officer, open).length === 1);
  await all_heard();
  assert.deepEqual(told(heard.officer, answered), []);
  platform.cliAs(officerKey, "privacy", "resolve", open, "Done.");
});

test("of two who resolve a request at the same time one does, and the other hears so", async () => {
  const requestId = submit("Both of you.");
  const token = await platform.token(officerKey);
  const resolve = (state, resolution) => platform.http("POST", `/v1/privacy/requests/${requestId}/resolve`, { token, body: { state, resolution } });
  const answers = await Promise.all([resolve("done", "Corrected."), resolve("refused", "It is right as it is.")]);
  assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 409]);
  const [won, lost] = answers.sort((a, b) => a.status - b.status);
  assert.match(lost.text, /privacy\.not_open/);
  const kept = platform.cliAs(officerKey, "privacy", "requests").requests.find((one) => one.requestId === requestId);
  assert.deepEqual([kept.state, kept.resolution], [won.json.state, won.json.resolution]);
});
