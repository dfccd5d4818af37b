// Consents that Mates hand on to each other, crosswise and to many: taking them back waits for nobody in a circle, and
// always fits into its time.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Platform, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const kChildren = 64, kBelow = 256, kRevokeMs = 1000;
const platform = new Platform();
const mates = {}, people = {};

const ask = async (session, operation, body) => {
  const { reply, error } = await request(session, `intra365.consent.${operation}`, body);
  return error ? { error, message: JSON.stringify(reply) } : reply;
};
const must = async (session, operation, body) => {
  const reply = await ask(session, operation, body);
  assert.equal(reply.error, undefined, `${operation}: ${reply.message}`);
  return reply;
};
const grant = (person, mateId, delegationDepth) => must(people[person], "grant", { userId: person, mateId, purposes: ["analytics"], scopes: ["profile"], delegationDepth });
const delegate = (from, consentId, mateId, more = {}) => ask(mates[from], "delegate", { consentId, mateId, ...more });
const code = async (userId, mateId, strict = true) => (await must(mates.a, "verify", { userId, mateId, scopes: ["profile"], purpose: "analytics", strict })).code;

before(async () => {
  await platform.start();
  for (const name of ["a", "z", "hub", "d0", "d1", "d2", "d3"]) mates[name] = await logIn(platform, platform.cli("mate", "create", name).apiKey);
  for (let n = 0; n < 12; ++n) people[`p${n}`] = await logIn(platform, platform.cli("user", "create", `p${n}`).apiKey);
});

after(async () => {
  for (const session of [...Object.values(mates), ...Object.values(people)]) await session.connection.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("many who take back at once what was handed on crosswise all win, whatever else changes meanwhile", async () => {
  const crossing = [["a", "z"], ["z", "a"]];
  for (let round = 0; round < 5; ++round) {
    const given = await Promise.all(
      Object.keys(people).map(async (person, n) => {
        const [from, to] = crossing[n % 2];
        const top = await grant(person, from, 1);
        const child = await delegate(from, top.consentId, to);
        assert.equal(child.error, undefined, child.message);
        return { person, top };
      }),
    );
    const answers = await Promise.all(
      given.flatMap(({ person, top }, n) => [
        ask(people[person], n % 3 ? "revoke" : "suspend", { consentId: top.consentId }),
        ask(people[person], "grant", { userId: person, mateId: crossing[n % 2][1], purposes: ["research"], scopes: ["image"] }),
        ask(people[person], "revoke", { consentId: top.consentId }),
      ]),
    );
    const failed = answers.filter((one) => one.error && one.error !== "consent.wrong_state" && one.error !== "consent.unknown" && one.error !== "consent.conflict");
    assert.deepEqual(failed, []);
    for (const { person } of given) {
      for (const mateId of ["a", "z"]) assert.ok(["revoked", "purpose_mismatch"].includes(await code(person, mateId)), `${person} ${mateId}`);
      await must(people[person], "revoke", { mateId: "a" }).catch(() => {});
      await must(people[person], "revoke", { mateId: "z" }).catch(() => {});
    }
  }
});

test("no Mate hands a consent on so often that its person cannot take it back in time", async (t) => {
  const top = await grant("p0", "hub", 3);
  const middle = [];
  for (let n = 0; n < 4; ++n) middle.push(await delegate("hub", top.consentId, `d${n}`, { delegationDepth: 1 }));
  const handOn = async (n, count) => {
    const done = [];
    while (done.length < count) {
      // Each waits for the tree: all at once, the last would wait for longer than a call may take on a slow machine.
      const together = Array.from({ length: Math.min(16, count - done.length) }, (_, i) => `leaf-${n}-${done.length + i}`);
      done.push(...(await Promise.all(together.map((mateId) => delegate(`d${n}`, middle[n].consentId, mateId)))));
    }
    return done;
  };
  const made = [];
  for (let n = 0; n < 3; ++n) made.push(...(await handOn(n, kChildren)));
  assert.deepEqual(made.filter((one) => one.error), []);
  assert.equal((await delegate("d0", middle[0].consentId, "one-more")).error, "consent.too_many_delegated", "of one consent");
  const last = await handOn(3, kBelow - 4 - 3 * kChildren + 2);
  assert.deepEqual(last.filter((one) => one.error).map((one) => one.error), ["consent.too_many_delegated", "consent.too_many_delegated"], "below one consent in all, of those who came together too");

  const begun = performance.now();
  const revoked = await must(people.p0, "revoke", { consentId: top.consentId });
  const took = performance.now() - begun;
  t.diagnostic(`${revoked.consents.length} consents in ${took.toFixed(0)} ms`);
  assert.equal(revoked.consents.length, kBelow + 1);
  assert.ok(took < kRevokeMs);
  assert.deepEqual(revoked.propagation, { committed: true, cached: true, published: true, boundMs: 1000 });
  assert.ok(revoked.consents.every((one) => one.status === "revoked"));
  assert.equal(await code("p0", "leaf-2-63"), "revoked");
  const epochs = new Set(revoked.consents.map((one) => `${one.mateId} ${one.mateEpoch}`));
  assert.equal(epochs.size, kBelow + 1, "none shares a Mate's epoch");
});

test("what has ended for good makes room, and is not raised any more", async () => {
  const top = await grant("p1", "hub", 1);
  for (let n = 0; n < kChildren; ++n) {
    const child = await delegate("hub", top.consentId, `leaf-${n}`);
    assert.equal(child.error, undefined, child.message);
    if (n < 2) await must(people.p1, "revoke", { consentId: child.consentId });
  }
  for (const mateId of ["more-1", "more-2"]) assert.equal((await delegate("hub", top.consentId, mateId)).error, undefined);
  assert.equal((await delegate("hub", top.consentId, "more-3")).error, "consent.too_many_delegated");
  const revoked = await must(people.p1, "revoke", { consentId: top.consentId });
  assert.equal(revoked.consents.length, kChildren + 1);
  assert.equal(await code("p1", "leaf-0"), "revoked");
});
