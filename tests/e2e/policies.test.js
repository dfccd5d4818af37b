// Policies from outside: the file of the tree governs the conversation at every enforcement point; life cycle,
// guardrails, explanations, and the tools of policy authors.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { Platform, binaries, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "intra365-policies-"));
const governing = join(root, "src/services/policy/policies/default.yaml");
let analyzer, alice, assistant, admin, assistantToken;

const file = (name, text) => {
  const path = join(folder, name);
  writeFileSync(path, typeof text === "string" ? text : JSON.stringify(text));
  return path;
};
const create = async (policy) => {
  const answer = await request(admin, "intra365.policy.create", policy);
  assert.equal(answer.error, undefined, JSON.stringify(answer.reply));
  return answer.reply;
};
const evaluate = async (session, question) => (await request(session, "intra365.policy.evaluate", question)).reply;

before(async () => {
  await platform.start();
  const assistantKey = platform.cli("mate", "create", "assistant").apiKey;
  analyzer = platform.analyzer(platform.cli("mate", "create", "image-analyzer").apiKey);
  alice = await logIn(platform, platform.cli("user", "create", "alice", "--country", "US").apiKey);
  assistant = await logIn(platform, assistantKey);
  admin = await logIn(platform, platform.adminKey);
  assistantToken = await platform.token(assistantKey);
  await eventually("the analyzer's registration", async () => (await request(assistant, "intra365.registry.discover", { capability: "image-analysis" })).reply.mates?.length === 1);
  await request(alice, "intra365.consent.grant", { userId: "alice", mateId: "image-analyzer", purposes: ["ai-assistance"], scopes: ["image.analyze"] });
});

after(async () => {
  for (const session of [assistant, alice, admin]) await session?.connection.close();
  analyzer?.kill("SIGTERM");
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
  rmSync(folder, { recursive: true });
});

// The Mate itself, the gateway in front of it, and the decision point when it is asked.
const points = {
  mate: async () => (await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": "alice" })).error ?? "allowed",
  gateway: async () => {
    const reply = await platform.http("POST", "/v1/mates/image-analyzer/call/image-analysis/analyze-image", { token: assistantToken, body: picture, headers: { "X-User-Id": "alice" } });
    return reply.status === 200 ? "allowed" : reply.json.code;
  },
};

test("the policy file of the tree governs the conversation, and a changed one does at once", async (t) => {
  for (const [name, ask] of Object.entries(points)) await eventually(`${name} allows`, async () => (await ask()) === "allowed");
  const held = readFileSync(governing, "utf8").replace("effect: allow", "effect: deny");
  for (const [path, wanted] of [[file("held.yaml", held), "policy.denied"], [governing, "allowed"]]) {
    platform.cli("policy", "apply", path);
    const applied = performance.now();
    for (const [name, ask] of Object.entries(points)) {
      await eventually(`${name}: ${wanted}`, async () => (await ask()) === wanted, 1000);
      t.diagnostic(`${name}: ${wanted} ${(performance.now() - applied).toFixed(1)} ms after the command ended`);
    }
  }
});

test("shadow decides and is recorded, and enforces nothing; active does", async () => {
  const policy = { policyId: "hold-docs", name: "Hold", type: "test", rules: [{ effect: "deny", subjects: ["mate:*"], resources: ["doc:*"], actions: ["read"], reasonUser: "On hold." }] };
  await create({ policyId: "read-docs", name: "Read", type: "test", rules: [{ effect: "allow", subjects: ["mate:*"], resources: ["doc:*"], actions: ["read"], obligations: [{ id: "tell", type: "notification" }], output: { watermark: true } }] });
  await create({ ...policy, status: "shadow" });
  const question = { subject: "mate:x", action: "read", resource: "doc:y" };
  const shadowed = await evaluate(assistant, question);
  assert.equal(shadowed.decision, "allow");
  assert.deepEqual(shadowed.obligations.map((one) => one.id), ["tell"]);
  assert.deepEqual(shadowed.outputs, [{ watermark: true }]);
  const recorded = execFileSync("psql", [platform.endpoints.postgres, "-Atc", `select shadow->>'decision' from intra365.policy_evaluations where decision_id = '${shadowed.decisionId}'`], { encoding: "utf8" });
  assert.equal(recorded.trim(), "deny");

  await request(admin, "intra365.policy.update", { ...policy, status: "active" });
  const enforced = await evaluate(assistant, question);
  assert.deepEqual([enforced.decision, enforced.cause, enforced.reasons[0].policyId, enforced.reasons[0].version, enforced.reasonUser], ["deny", "explicit_deny", "hold-docs", 2, "On hold."]);
  await request(admin, "intra365.policy.update", { ...policy, status: "retired" });
  assert.equal((await evaluate(assistant, question)).decision, "allow");
});

test("every version is kept with author and reason, and an earlier one can come back", async () => {
  const policy = { policyId: "hours", name: "Hours", type: "test", rules: [{ effect: "allow", subjects: ["mate:*"], resources: ["clock:*"], actions: ["read"] }] };
  const ask = async () => (await evaluate(assistant, { subject: "mate:x", action: "read", resource: "clock:1" })).decision;
  await create({ ...policy, changeReason: "first" });
  await request(admin, "intra365.policy.update", { ...policy, rules: [], changeReason: "nobody needs it" });
  assert.equal(await ask(), "deny");
  await request(admin, "intra365.policy.delete", { policyId: "hours" });
  const back = (await request(admin, "intra365.policy.rollback", { policyId: "hours", version: 1, reason: "they do" })).reply;
  assert.equal(back.version, 4);
  assert.equal(await ask(), "allow");
  const { versions } = (await request(admin, "intra365.policy.versions", { policyId: "hours" })).reply;
  assert.deepEqual(versions.map((one) => [one.version, one.change, one.changedBy, one.reason]), [[4, "rolled_back", "mate:admin", "they do"], [3, "deleted", "mate:admin", undefined], [2, "updated", "mate:admin", "nobody needs it"], [1, "created", "mate:admin", "first"]]);
  assert.equal((await request(admin, "intra365.policy.rollback", { policyId: "hours", version: 9 })).error, "policy.unknown_version");
});

test("a guardrail stands above every priority", async () => {
  await create({ policyId: "all", name: "All", type: "test", priority: 1000000, rules: [{ effect: "allow", subjects: ["*"], resources: ["vault:*"], actions: ["*"] }] });
  await create({ policyId: "rail", name: "Rail", type: "test", priority: 0, scope: "organisation", guardrail: true, rules: [{ effect: "deny", subjects: ["*"], resources: ["vault:*"], actions: ["export"] }] });
  assert.equal((await evaluate(assistant, { subject: "mate:x", action: "export", resource: "vault:1" })).decision, "deny");
  assert.equal((await evaluate(assistant, { subject: "mate:x", action: "open", resource: "vault:1" })).decision, "allow");
});

test("an explanation is for the operator, and says what consent would change", async () => {
  await create({ policyId: "health", name: "Health", type: "data-access", rules: [{ effect: "allow", subjects: ["mate:assistant"], resources: ["user:*/health-records"], actions: ["read"], conditions: { "consent.granted": true, "consent.purpose": "medical-analysis", "user.country": "US" } }] });
  const question = { subject: "mate:assistant", action: "read", resource: "user:alice/health-records" };
  const told = (await request(admin, "intra365.policy.explain", question)).reply;
  assert.equal(told.decision, "deny");
  assert.deepEqual(told.consentWouldAllow.map((one) => [one.policyId, one.consent]), [["health", { "consent.granted": true, "consent.purpose": "medical-analysis" }]]);
  assert.equal(told.reasonUser, "This use needs your consent.");
  await assert.rejects(request(assistant, "intra365.policy.explain", question), /permission/i);
});

test("what is ill-formed is refused with the pointer of the fault", async () => {
  const bad = { name: "Bad", type: "x", rules: [{ effect: "allow", subjects: ["mate:x"], resources: ["doc:y"], actions: ["read"], conditions: { "user.age": { gte: "eighteen" } } }] };
  const refused = await request(admin, "intra365.policy.create", bad);
  assert.equal(refused.error, "policy.invalid");
  assert.match(refused.reply.error.message, /^\/rules\/0\/conditions\/user\.age\/gte: /);
});

test("authors lint, test and compare without a platform", () => {
  const run = (...args) => {
    try {
      return { code: 0, reply: JSON.parse(execFileSync(join(binaries, "intra365"), ["policy", ...args, "--json"], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })) };
    } catch (error) {
      return { code: error.status, reply: error.stdout.startsWith("[") || error.stdout.startsWith("{") ? JSON.parse(error.stdout) : undefined, error: error.stderr };
    }
  };
  const tested = run("test", governing, join(root, "src/policy/templates/health_data.yaml"));
  assert.equal(tested.code, 0);
  assert.ok(tested.reply.every((suite) => suite.failed === 0 && suite.passed > 0));
  const broken = run("test", file("broken.yaml", readFileSync(governing, "utf8").replace("decision: allow", "decision: deny")));
  assert.equal(broken.code, 1);
  assert.match(broken.reply[0].cases[0].differences[0], /expected deny, got allow/);
  const lint = run("lint", file("broad.yaml", [{ policyId: "p", name: "n", type: "t", rules: [{ effect: "allow", subjects: ["*"], resources: ["*"], actions: ["*"] }] }]));
  assert.equal(lint.code, 1);
  assert.equal(lint.reply.findings[0].kind, "over_broad");
  const changed = file("changed.yaml", readFileSync(governing, "utf8").replace("effect: allow", "effect: deny"));
  const diff = run("diff", governing, changed, "--recorded", governing);
  assert.deepEqual(diff.reply.changes.map((one) => [one.before, one.after]), [["allow", "deny"]]);
  const unreadable = run("lint", file("no.yaml", "a: [1"));
  assert.equal(unreadable.code, 1);
  assert.match(unreadable.error, /policy\.invalid/);
});
