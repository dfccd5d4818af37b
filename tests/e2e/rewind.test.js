// The database goes back to an earlier time while Mates keep running with what they knew: a restore here, and in the same
// way a standby that takes over before it has everything. tests/sim asks the same of the same classes under thousands of seeds.
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Platform, binaries, eventually, logIn, picture } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const kBoundMs = 1000;
const platform = new Platform();
const place = mkdtempSync(join(tmpdir(), "intra365-rewind-"));
const backups = ["--to", join(place, "backups"), "--key", join(place, "backup.key")];
const people = {};
let analyzer, assistantKey, assistant, chosen, kept;

function intra365(...args) {
  const { status, stdout, stderr } = spawnSync(join(binaries, "intra365"), args, { encoding: "utf8", timeout: 120_000 });
  assert.equal(status, 0, stderr);
  return stdout;
}
const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-qAtXc", text], { encoding: "utf8" }).trim();
const clock = () => sql("select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')");
async function nextSecond() {
  const now = clock();
  await eventually("the next second", () => clock() !== now);
  return clock();
}
const wish = (userId) => ({ userId, mateId: "image-analyzer", purposes: ["ai-assistance"], scopes: ["image.analyze"] });
async function grant(userId) {
  const session = await logIn(platform, people[userId]);
  const { reply } = await request(session, "intra365.consent.grant", wish(userId));
  await session.connection.close();
  return reply;
}
const use = async (userId) => (await request(assistant, "intra365.mate.image-analyzer.image-analysis.analyze-image", picture, { "X-User-Id": userId })).error ?? "allowed";

before(async () => {
  await platform.start();
  for (const name of ["alice", "ben"]) people[name] = platform.cli("user", "create", name).apiKey;
  analyzer = platform.analyzer(platform.cli("mate", "create", "image-analyzer").apiKey);
  assistantKey = platform.cli("mate", "create", "assistant").apiKey;
  assistant = await logIn(platform, assistantKey);
  kept = await grant("alice");
  await eventually("alice's consent to count", async () => (await use("alice")) === "allowed");
});

after(async () => {
  await assistant?.connection.close();
  analyzer?.kill("SIGTERM");
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
  rmSync(place, { recursive: true, force: true });
});

test("a Mate that keeps running allows nothing that the restored database has lost", async () => {
  intra365("--data", platform.data, "backup", ...backups);
  chosen = await nextSecond();
  await nextSecond();
  await grant("ben");
  await eventually("ben's consent to count", async () => (await use("ben")) === "allowed");
  await nextSecond();
  intra365("--data", platform.data, "backup", ...backups);

  await assistant.connection.close();
  await platform.kill();
  await eventually("the data directory to be gone", () => {
    rmSync(platform.data, { recursive: true, force: true });
    return !existsSync(platform.data);
  });
  intra365("--data", platform.data, "restore", "--from", ...backups.slice(1), "--at", chosen);
  await platform.start({ sameAddresses: true });
  assistant = await eventually("the assistant to log in", () => logIn(platform, assistantKey));

  assert.equal(analyzer.exitCode, null, "it is the same process");
  await eventually("alice's consent to count again", async () => (await use("alice")) === "allowed", 30_000);
  assert.equal(await use("ben"), "consent.none");
});

test("a revocation that is counted by numbers the Mate has seen before counts within the bound", async () => {
  // Told to nobody, so that only what Mates ask for shows it.
  sql(`with mate as (select intra365.bump_consent_epoch('default', 'mate', 'image-analyzer') as epoch),
            person as (select intra365.bump_consent_epoch('default', 'user', 'alice') as epoch)
       update intra365.consent_records set granted = false, status = 'revoked', revoked_at = now(), revision = revision + 1,
              epoch = person.epoch, mate_epoch = mate.epoch from mate, person where consent_id = '${kept.consentId}'`);
  await new Promise((done) => setTimeout(done, kBoundMs));
  assert.equal(await use("alice"), "consent.revoked");
});

test("what is revoked on the new line is counted on it, and ends what it ends", async () => {
  const admin = await logIn(platform, platform.adminKey);
  const other = await logIn(platform, platform.cli("mate", "create", "other").apiKey);
  const { reply } = await request(admin, "intra365.auth.token.revoke", { mateId: "other" });
  assert.ok(reply.epoch > 2 ** 40, JSON.stringify(reply));
  await eventually("its connection to be closed", () => other.connection.isClosed());
  await admin.connection.close();
});
