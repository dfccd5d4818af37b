// Reads on a real standby: it answers what is declared for it while it is new enough; whoever has changed something sees
// it at once; and its pause, its lag, its freezing and its death are nobody's problem.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Platform, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";
import { serve } from "./lib/second.js";
import { Standby } from "./lib/standby.js";

const platform = new Platform();
let standby, second, user, admin, officer;

const history = async (session = user) => {
  const { reply, error } = await request(session, "intra365.consent.audit", { userId: "rosalind", limit: 200 });
  assert.equal(error, undefined);
  return reply.entries.map((entry) => `${entry.event} ${entry.scopes.join()}`);
};
const grant = async (scope) => {
  const { error } = await request(user, "intra365.consent.grant", { userId: "rosalind", mateId: "assistant", scopes: [scope], purposes: ["analytics"] });
  assert.equal(error, undefined);
};
const reads = () => standby.asked("from intra365.consent_history where");

before(async () => {
  await platform.start();
  user = await logIn(platform, platform.cli("user", "create", "rosalind").apiKey);
  platform.cli("mate", "create", "assistant");
  admin = await logIn(platform, platform.adminKey);
  await grant("first");
  standby = await new Standby(platform).start();
  second = await serve(platform, ["consent", "audit", "registry"], [standby.dsn]);
});

after(async () => {
  for (const session of [user, admin]) await session?.connection.close();
  second?.kill("SIGTERM");
  if (second) assert.equal((await second.ended).code, 0, second.output);
  assert.equal((await platform.stop()).code, 0);
  await standby?.stop();
  standby?.remove();
});

test("declared reads are answered by the standby: history, trail, discovery", async () => {
  // What was changed before it listened it must have seen, too.
  await eventually("history from the standby", async () => (await history(admin)).length === 1 && reads() > 0, 30_000);
  await eventually("the trail from it", async () => (await request(admin, "intra365.audit.query", {})).reply.entries.length > 0 && standby.asked("from intra365.audit_logs where") > 0);
  await eventually("discovery from it", async () => (await request(admin, "intra365.registry.discover", {})).reply.mates && standby.asked("from intra365.mates") > 0);
  assert.equal(standby.asked("insert into intra365"), 0);
});

test("what somebody has changed they see at once, while the standby stands still", async () => {
  for (let round = 0; round < 12; ++round) {
    standby.resumeReplay();
    await standby.catchUp();
    await standby.pauseReplay();
    await grant(`round-${round}`);
    // The services of the program without a replica answer some of these, too.
    for (let again = 0; again < 4; ++again) assert.ok((await history()).includes(`granted round-${round}`), `round ${round}`);
  }
  standby.resumeReplay();
});

test("an answer is never older than it may be, for whoever has changed nothing", async () => {
  await standby.catchUp();
  await standby.pauseReplay();
  const asked = reads();
  await grant("lagging");
  const committed = Date.now();
  let old = 0;
  while (Date.now() < committed + 4000) {
    const begun = Date.now();
    const seen = (await history(admin)).includes("granted lagging");
    if (!seen) ++old;
    assert.ok(seen || begun < committed + 2100, `after ${begun - committed} ms`);
  }
  assert.ok(reads() > asked, "the standby was asked");
  assert.ok(old > 0, "an old answer that is new enough is given: otherwise this shows nothing");
  standby.resumeReplay();
});

test("a standby that is frozen or dead is left out, and asked again when it is back", async () => {
  for (const signal of ["SIGSTOP", "SIGKILL"]) {
    await standby.catchUp();
    const last = reads();
    await eventually("it is asked", async () => (await history(admin)).length > 0 && reads() > last, 30_000);
    const before = Date.now();
    standby.signalFamily(signal);
    await grant(`without-${signal}`);
    for (let i = 0; i < 20; ++i) {
      assert.ok((await history()).includes(`granted without-${signal}`));
      await history(admin);
    }
    console.log(`${signal}: 40 reads in ${Date.now() - before} ms`);
    assert.ok(Date.now() - before < 20_000, "one question at a time waits for what is frozen");
    await standby.stop("SIGKILL");
    await standby.start();
    const asked = reads();
    await eventually("it is asked again", async () => (await history(admin)).length > 0 && reads() > asked, 30_000);
  }
});
