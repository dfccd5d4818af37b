// The decision point from outside: AuthZEN 1.0 over HTTP, batches, searches, filters, replays and live decisions.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";
import { Platform, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
let alice, assistant, admin, assistantToken, adminToken, aliceToken;

const ask = async (session, subject, body) => {
  const answer = await request(session, subject, body);
  assert.equal(answer.error, undefined, JSON.stringify(answer.reply));
  return answer.reply;
};
const access = async (path, body, { token = assistantToken, headers } = {}) => {
  const reply = await platform.http("POST", `/access/v1/${path}`, { token, body, headers: { "content-type": "application/json", ...headers } });
  return reply;
};
const decision = async (path, body, options) => {
  const reply = await access(path, body, options);
  assert.equal(reply.status, 200, reply.text);
  return reply.json;
};
const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-Atc", text], { encoding: "utf8" }).trim();

const policy = {
  policyId: "documents",
  name: "Documents",
  type: "test",
  rules: [
    { effect: "allow", subjects: ["mate:assistant", "mate:reader"], resources: ["doc:*"], actions: ["read"], obligations: [{ id: "tell", type: "notification" }] },
    { effect: "allow", subjects: ["mate:assistant"], resources: ["doc:*"], actions: ["write"], conditions: { "resource.owner": "assistant" } },
    { effect: "deny", subjects: ["*"], resources: ["doc:secret"], actions: ["*"], reasonUser: "This is secret." },
    { effect: "allow", subjects: ["mate:assistant"], resources: ["user:*/diary"], actions: ["read"], conditions: { "consent.granted": true } },
  ],
};
const subject = { type: "mate", id: "assistant" };
const action = { name: "read" };
const resource = { type: "doc", id: "a" };

before(async () => {
  await platform.start();
  const keys = { assistant: platform.cli("mate", "create", "assistant").apiKey, alice: platform.cli("user", "create", "alice").apiKey };
  for (const name of ["bert", "carla"]) platform.cli("user", "create", name);
  assistant = await logIn(platform, keys.assistant);
  alice = await logIn(platform, keys.alice);
  admin = await logIn(platform, platform.adminKey);
  assistantToken = await platform.token(keys.assistant);
  adminToken = await platform.token(platform.adminKey);
  aliceToken = await platform.token(keys.alice);
  await ask(admin, "intra365.policy.create", policy);
});

after(async () => {
  for (const session of [assistant, alice, admin]) await session?.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("AuthZEN: one evaluation, its discovery, and what it refuses", async () => {
  const configuration = (await platform.http("GET", "/.well-known/authzen-configuration")).json;
  assert.equal(configuration.policy_decision_point, platform.endpoints.gateway);
  assert.equal(configuration.access_evaluation_endpoint, `${platform.endpoints.gateway}/access/v1/evaluation`);

  const allowed = await decision("evaluation", { subject, action, resource, somebodyElses: "field" });
  assert.equal(allowed.decision, true);
  assert.deepEqual(allowed.context.obligations.map((one) => [one.id, one.type]), [["tell", "notification"]]);
  const denied = await decision("evaluation", { subject, action, resource: { type: "doc", id: "secret" } });
  assert.equal(denied.decision, false);
  assert.deepEqual(denied.context.reason_user, { en: "This is secret." });
  assert.equal((await decision("evaluation", { subject, action: { name: "write" }, resource: { ...resource, properties: { owner: "assistant" } } })).decision, true);
  assert.equal((await decision("evaluation", { subject, action: { name: "write" }, resource })).decision, false, "a missing attribute allows nothing");

  const echoed = await access("evaluation", { subject, action, resource }, { headers: { "x-request-id": "mine-1" } });
  assert.equal(echoed.headers.get("x-request-id"), "mine-1");
  assert.equal((await access("evaluation", { subject, action })).status, 400);
  assert.equal((await access("evaluation", { subject: "mate:assistant", action, resource })).status, 400, "AuthZEN knows objects only");
  assert.equal((await access("evaluation", [])).status, 400);
  assert.equal((await access("evaluation", { subject, action, resource }, { token: "nobody" })).status, 401);
  assert.equal((await access("search/everything", {})).status, 404);
});

test("AuthZEN: many evaluations, with defaults and the three ways to stop", async () => {
  const evaluations = [{ resource: { type: "doc", id: "secret" } }, { resource: { type: "doc", id: "a" } }, { resource: { type: "doc", id: "b" }, action: { name: "write" } }];
  const run = async (options) => (await decision("evaluations", { subject, action, evaluations, ...(options ? { options: { evaluations_semantic: options } } : {}) })).evaluations.map((one) => one.decision);
  assert.deepEqual(await run(), [false, true, false]);
  assert.deepEqual(await run("execute_all"), [false, true, false]);
  assert.deepEqual(await run("deny_on_first_deny"), [false]);
  assert.deepEqual(await run("permit_on_first_permit"), [false, true]);
  assert.equal((await access("evaluations", { subject, action, evaluations, options: { evaluations_semantic: "guess" } })).status, 400);
  assert.equal((await decision("evaluations", { subject, action, resource })).decision, true, "without evaluations it is one");
  const broken = await decision("evaluations", { subject, action, evaluations: [{ resource }, {}] });
  assert.deepEqual(broken.evaluations.map((one) => one.decision), [true, false]);
  assert.equal(broken.evaluations[1].context.error.code, "request.bad_value");
  const batch = await ask(assistant, "intra365.policy.batch", { subject: "mate:assistant", action: "read", evaluations: [{ resource: "doc:a" }, { resource: "doc:secret" }], semantic: "deny_on_first_deny" });
  assert.deepEqual(batch.evaluations.map((one) => one.decision), ["allow", "deny"]);
});

test("AuthZEN: searches give what evaluates to true, page by page, and only to those whom it concerns", async () => {
  const operator = { token: adminToken };
  const subjects = await decision("search/subject", { subject: { type: "mate" }, action, resource }, operator);
  assert.deepEqual(subjects.results, [{ type: "mate", id: "assistant" }, { type: "mate", id: "reader" }]);
  assert.equal(subjects.page.next_token, "");
  const actions = await decision("search/action", { subject, resource: { ...resource, properties: { owner: "assistant" } } });
  assert.deepEqual(actions.results.map((one) => one.name), ["read", "write"]);

  const grant = await ask(alice, "intra365.consent.grant", { userId: "alice", mateId: "assistant", purposes: ["ai-assistance"], scopes: ["diary.read"] });
  const diaries = { subject, action, resource: { type: "user" } };
  assert.deepEqual((await decision("search/resource", diaries)).results, [{ type: "user", id: "alice/diary" }]);
  const found = [];
  for (let token = "", pages = 0; pages < 20; ++pages) {
    const page = await decision("search/resource", { subject: { type: "mate", id: "reader" }, action, resource: { type: "doc" }, page: { token, limit: 1 } }, operator);
    found.push(...page.results);
    token = page.page.next_token;
    if (token === "") break;
  }
  assert.deepEqual(found, [], "doc:secret is the only document that policies name, and it is denied");
  assert.equal((await access("search/resource", { subject: { type: "mate", id: "reader" }, action, resource: { type: "doc" } })).status, 403, "about others only the operator may ask");
  assert.deepEqual((await decision("search/subject", { subject: { type: "mate" }, action, resource: { type: "user", id: "alice/diary" } }, { token: aliceToken })).results, [{ type: "mate", id: "assistant" }], "a person may ask who reads their diary");
  await ask(alice, "intra365.consent.revoke", { consentId: grant.consentId });
  await eventually("the revocation shows", async () => (await decision("search/resource", diaries)).results.length === 0);
});

test("a filter selects exactly the rows that would be allowed one by one", async () => {
  await ask(admin, "intra365.policy.create", {
    policyId: "rows", name: "Rows", type: "test",
    rules: [
      { effect: "allow", subjects: ["mate:lister"], resources: ["row:*"], actions: ["read"], conditions: { "resource.owner": { in: ["ada", "O'Neil"] }, "resource.level": { lte: 3 } } },
      { effect: "allow", subjects: ["mate:lister"], resources: ["row:open", "row:public/*/x"], actions: ["read"] },
      { effect: "deny", subjects: ["mate:lister"], resources: ["row:*"], actions: ["read"], conditions: { "resource.state": "deleted" } },
    ],
  });
  const rows = [
    ["r1", "ada", 3, "live"], ["r2", "ada", 4, "live"], ["r3", "O'Neil", 1, "deleted"], ["r4", "O'Neil", 1, "live"], ["r5", "eve", 1, "live"], ["r6", null, 1, "live"], ["r7", "ada", null, "live"], ["r8", "ada", 1, null], ["open", "eve", 9, "live"], ["public/7/x", "eve", 9, "live"], ["public/7/y", "eve", 9, "live"], ["public//x", "eve", 9, "live"],
  ];
  const columns = { "resource.id": "id", "resource.owner": "owner", "resource.level": "level", "resource.state": "state" };
  const filter = await ask(admin, "intra365.policy.filter", { subject: "mate:lister", action: "read", resourceType: "row", columns });
  assert.equal(filter.kind, "some");
  assert.equal(filter.exact, true);
  const quote = (value) => (value === null ? "null" : typeof value === "number" ? String(value) : `'${value.replaceAll("'", "''")}'`);
  const where = filter.sql.replace(/\$(\d+)/g, (_, index) => quote(filter.parameters[index - 1]));
  const values = rows.map(([id, owner, level, state]) => `(${quote(id)}, ${quote(owner)}::text, ${level === null ? "null::int" : level}, ${quote(state)}::text)`).join(", ");
  const selected = sql(`select id from (values ${values}) as t(id, owner, level, state) where ${where} order by id collate "C"`).split("\n");

  const one_by_one = [];
  for (const [id, owner, level, state] of rows) {
    const properties = Object.fromEntries(Object.entries({ owner, level, state }).filter(([, value]) => value !== null));
    const reply = await ask(admin, "intra365.policy.evaluate", { subject: "mate:lister", action: "read", resource: { type: "row", id, properties } });
    if (reply.decision === "allow") one_by_one.push(id);
  }
  assert.deepEqual(selected, one_by_one.sort());
  assert.deepEqual(selected, ["open", "public/7/x", "r1", "r4"]);
  assert.equal((await ask(admin, "intra365.policy.filter", { subject: "mate:stranger", action: "read", resourceType: "row", columns })).kind, "none");
  const blind = await ask(admin, "intra365.policy.filter", { subject: "mate:lister", action: "read", resourceType: "row", columns: { "resource.id": "id" } });
  assert.equal(blind.exact, false);
  assert.equal(blind.kind, "none", "the state that would deny is in no column");
  assert.equal((await request(assistant, "intra365.policy.filter", { subject: "mate:lister", action: "read", resourceType: "row" })).error, "access.not_yours");
});

test("a decision can be made again from the policies and facts of then", async () => {
  const made = await decision("evaluation", { subject, action, resource: { type: "doc", id: "replayed" } });
  const again = await decision("evaluation", { subject, action, resource: { type: "doc", id: "replayed" } });
  assert.notEqual(made.context.id, again.context.id);
  await ask(admin, "intra365.policy.update", { ...policy, rules: [] });
  await eventually("the change", async () => (await decision("evaluation", { subject, action, resource })).decision === false, 1000);
  const replayed = await eventually("the record", async () => {
    const answer = await request(admin, "intra365.policy.replay", { decisionId: again.context.id });
    return answer.error === undefined ? answer.reply : undefined;
  });
  assert.equal(replayed.same, true);
  assert.deepEqual([replayed.recorded.reply.decision, replayed.replayed.decision, replayed.replayed.determining[0].policyId], ["allow", "allow", "documents"]);
  const overHttp = await platform.http("GET", `/v1/policies/decisions/${made.context.id}`, { token: adminToken });
  assert.equal(overHttp.json.same, true);
  assert.equal((await request(admin, "intra365.policy.replay", { decisionId: "none" })).error, "policy.unknown_decision");
  assert.equal((await platform.http("GET", `/v1/policies/decisions/${made.context.id}`, { token: assistantToken })).json.code, "access.role_required");
  await ask(admin, "intra365.policy.update", policy);
});

test("a watcher is told when policy or consent changes the answer", async (t) => {
  const changes = [];
  const subscription = assistant.connection.subscribe("intra365.guard.decision.assistant");
  (async () => { for await (const message of subscription) changes.push({ at: performance.now(), ...message.json() }); })();
  const watching = await ask(assistant, "intra365.policy.watch", { subject: "mate:assistant", action: "read", resource: "doc:live", seconds: 60 });
  assert.equal(watching.subject, "intra365.guard.decision.assistant");
  assert.equal(watching.now.decision, "allow");
  const diary = await ask(assistant, "intra365.policy.watch", { subject: "mate:assistant", action: "read", resource: "user:alice/diary" });
  assert.equal(diary.now.decision, "deny");

  const told = async (watch, wanted) => {
    const from = performance.now();
    const change = await eventually(`told of ${wanted}`, () => changes.find((one) => one.watchId === watch.watchId && one.now.decision === wanted), 3000);
    t.diagnostic(`${wanted}: ${(change.at - from).toFixed(1)} ms after the reply`);
    changes.length = 0;
    assert.notEqual(change.now.decisionId, "");
  };
  await ask(admin, "intra365.policy.update", { ...policy, rules: policy.rules.slice(2) });
  await told(watching, "deny");
  await ask(admin, "intra365.policy.update", policy);
  await told(watching, "allow");
  const grant = await ask(alice, "intra365.consent.grant", { userId: "alice", mateId: "assistant", purposes: ["ai-assistance"], scopes: ["diary.read"] });
  await told(diary, "allow");
  await ask(alice, "intra365.consent.revoke", { consentId: grant.consentId });
  await told(diary, "deny");
  const renewed = await ask(assistant, "intra365.policy.watch", { subject: "mate:assistant", action: "read", resource: "doc:live", seconds: 1 });
  assert.equal(renewed.watchId, watching.watchId, "asking again renews");
  subscription.unsubscribe();
});
