// Backups, from outside: lose everything, come back to a chosen second, and go on.
import assert from "node:assert/strict";
import { execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Platform, binaries, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
const place = mkdtempSync(join(tmpdir(), "intra365-backups-"));
const to = join(place, "backups");
const key = join(place, "keys", "backup.key");
const program = join(binaries, "intra365");

/** Runs the program; its exit code and what it said. */
function intra365(...args) {
  const { status, stdout, stderr } = spawnSync(program, args, { encoding: "utf8", timeout: 120_000 });
  return { status, stdout, stderr };
}
const backup = (...more) => intra365("--data", platform.data, "backup", "--to", to, "--key", key, ...more);
const restore = (data, ...more) => intra365("--data", data, "restore", "--from", to, "--key", key, ...more);
const psql = (sql) => execFileSync("psql", [platform.endpoints.postgres, "-qAtX", "-c", sql], { encoding: "utf8" }).split("\n").filter(Boolean);
const userIds = () => psql("select user_id from intra365.users where user_id in ('alice', 'bob', 'carol') order by 1").join();
/** The server's clock, cut to a second; returns when the next second has come. */
async function second() {
  const clock = () => psql("select to_char(clock_timestamp() at time zone 'utc', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")[0];
  const now = clock();
  await eventually("the next second", () => clock() !== now);
  return clock(); // every commit before this line is before this second, every one a second later behind it
}
const nextSecond = async () => {
  await second();
  await second();
};
/** How far the backups reach, once they reach to `time`. */
const covered = (time) =>
  eventually(`the backups to reach ${time}`, () => {
    const end = /to (\S+Z)\s*$/.exec(restore("/nonexistent", "--list").stdout)?.[1];
    return end && Date.parse(end) >= Date.parse(time) && end;
  }, 60_000);

let chosen, granted;

before(async () => {
  await platform.start();
});

after(async () => {
  if (platform.process.exitCode === null) assert.equal((await platform.stop()).code, 0);
  platform.remove();
  rmSync(place, { recursive: true, force: true });
});

test("the first backup makes a key, is restored to prove it, and shows nothing to who has not the key", () => {
  platform.cli("user", "create", "alice");
  const done = backup();
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stderr, /key .* was made: keep a copy/);
  assert.match(done.stdout, /[2-9]\d tables with \d+ rows/);
  assert.equal(statSync(key).mode & 0o777, 0o600);
  assert.equal(statSync(to).mode & 0o077, 0);
  const secret = readFileSync(join(platform.data, "keys", "postgres-owner.password"), "latin1").trim();
  const files = readdirSync(to, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
  assert.ok(files.length > 5);
  for (const file of files) {
    const content = readFileSync(join(file.parentPath ?? file.path, file.name), "latin1");
    for (const legible of [secret, "alice", "PG_VERSION", "ustar"]) assert.ok(!content.includes(legible), `${file.name} shows ${legible}`);
  }
});

test("who follows proves new base backups by restoring them, and lets old ones go", async () => {
  const place = (line) => line.split(/\s+/)[0];
  const listed = () => restore("/nonexistent", "--list").stdout.trim().split("\n");
  const [first] = listed();
  assert.match(first, / proven /, "the first one was");
  const follower = spawn(program, ["--data", platform.data, "backup", "--to", to, "--key", key, "--keep", "1", "--full-after", "1s", "--follow"], { stdio: ["ignore", "pipe", "pipe"] });
  const ended = new Promise((done) => follower.on("exit", done));
  let said = "";
  for (const stream of [follower.stdout, follower.stderr]) stream.on("data", (chunk) => (said += chunk));
  await eventually("a younger base backup alone, and proven", () => listed().length === 1 && place(listed()[0]) !== place(first) && / proven /.test(listed()[0]), 60_000);
  await eventually("its proof", () => /restoring it to see that it can be[^]*tables with \d+ rows/.test(said));
  platform.cli("user", "create", "dora");
  await covered(await second());
  follower.kill("SIGTERM");
  assert.equal(await ended, 0, said);
  psql("delete from intra365.users where user_id = 'dora'");
  assert.deepEqual(readdirSync(tmpdir()).filter((name) => name.startsWith("intra365-check-")), [], "no readable copy is left behind");
});

test("a following backup takes what is committed, through a restart of the platform", async () => {
  const follower = spawn(program, ["--data", platform.data, "backup", "--to", to, "--key", key, "--follow"], { stdio: ["ignore", "ignore", "pipe"] });
  const ended = new Promise((done) => follower.on("exit", done));
  let said = "";
  follower.stderr.on("data", (chunk) => (said += chunk));
  await eventually("the follower", () => said.includes("following the log"));
  assert.match(backup().stderr, /backup\.busy/, "one writer at a time");

  const bob = platform.cli("user", "create", "bob");
  const mate = platform.cli("mate", "create", "assistant");
  const session = await logIn(platform, bob.apiKey);
  granted = (await request(session, "intra365.consent.grant", { userId: "bob", mateId: mate.mateId ?? "assistant", purposes: ["analytics"], scopes: ["profile.read"] })).reply;
  await session.connection.close();
  await nextSecond();
  chosen = await second();
  await nextSecond();
  psql(`delete from intra365.users where user_id = 'alice'`); // the mistake
  await covered(await second());

  await platform.stop();
  await platform.start();
  platform.cli("user", "create", "carol");
  await covered(await second());
  follower.kill("SIGTERM");
  assert.equal(await ended, 0, said);
});

test("a follower that is killed under load goes on where it was", async () => {
  const follow = () => spawn(program, ["--data", platform.data, "backup", "--to", to, "--key", key, "--follow", "--no-check"], { stdio: ["ignore", "ignore", "pipe"] });
  const fill = () => psql("select count(pg_logical_emit_message(false, 'fill', repeat('x', 1000000))) from generate_series(1, 60)");
  for (let round = 0; round < 3; ++round) {
    const follower = follow();
    const ended = new Promise((done) => follower.on("exit", done));
    let said = "";
    follower.stderr.on("data", (chunk) => (said += chunk));
    await eventually("the follower", () => said.includes("following the log"));
    for (let i = 0; i < 3; ++i) fill();
    follower.kill("SIGKILL");
    await ended;
    psql("checkpoint"); // the server removes what no slot keeps
    assert.doesNotMatch(said, /no longer has the log/);
  }
  const done = backup("--no-check");
  assert.equal(done.status, 0, done.stderr);
  assert.doesNotMatch(done.stderr, /no longer has the log|making a base backup/);
});

test("a server that gave up its log gets a new base backup, not a gap", () => {
  psql("alter system set max_slot_wal_keep_size = '1MB'");
  psql("select pg_reload_conf()");
  for (let segment = 0; segment < 4; ++segment) psql("select pg_logical_emit_message(true, 'test', 'x'), pg_switch_wal()");
  psql("checkpoint");
  assert.deepEqual(psql("select wal_status from pg_replication_slots where slot_name = 'intra365_backup'"), ["lost"]);
  psql("alter system reset max_slot_wal_keep_size");
  psql("select pg_reload_conf()");
  const done = backup("--no-check");
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stderr, /no longer has the log since the last backup/);
  assert.match(done.stderr, /base backup \w+ made/);
  assert.match(backup().stdout, /reach to/);
});

test("what cannot be restored is refused before anything is touched", () => {
  const free = join(place, "free");
  const refused = (code, ...args) => {
    const result = intra365("--data", free, "restore", "--from", to, ...args);
    assert.equal(result.status, 1, result.stdout);
    assert.ok(result.stderr.includes(code), `${code} in ${result.stderr}`);
    assert.ok(!existsSync(free), "nothing is left");
  };
  refused("backup.key_lost", "--key", join(place, "none"));
  const other = join(place, "other.key");
  writeFileSync(other, `${"A".repeat(43)}\n`, { mode: 0o600 });
  refused("backup.wrong_key", "--key", other);
  chmodSync(other, 0o644);
  refused("backup.key_file", "--key", other);
  refused("backup.not_found", "--key", key, "--at", "2020-01-01T00:00:00Z");
  refused("backup.not_covered", "--key", key, "--at", "2099-01-01T00:00:00Z");
  refused("request.bad_time", "--key", key, "--at", "yesterday");
  const running = restore(platform.data);
  assert.match(running.stderr, /data\.locked|backup\.target_in_use/);
  assert.equal(userIds(), "bob,carol", "the running platform was not touched");
});

test("a restore that is refused leaves the directory as it was", () => {
  const listing = (folder) => readdirSync(folder, { recursive: true }).sort();
  const foreign = join(place, "documents");
  mkdirSync(join(foreign, "letters"), { recursive: true });
  writeFileSync(join(foreign, "letters", "first.txt"), "dear");
  const before = listing(foreign);
  assert.match(restore(foreign).stderr, /data\.not_ours/);
  assert.deepEqual(listing(foreign), before);

  const locked = join(place, "locked");
  mkdirSync(join(locked, "lost+found"), { recursive: true });
  writeFileSync(join(locked, "lost+found", "1"), "found");
  const lock = join(locked, "lock");
  const result = spawnSync("flock", [lock, program, "--data", locked, "restore", "--from", to, "--key", key], { encoding: "utf8" });
  assert.match(result.stderr, /data\.locked/);
  assert.deepEqual(listing(locked), ["lock", "lost+found", "lost+found/1"]);

  // What somebody has begun to use is theirs, even where no keys and no database are left.
  const begun = join(place, "begun");
  mkdirSync(join(begun, "nats"), { recursive: true });
  writeFileSync(join(begun, "version"), "1\n");
  assert.match(restore(begun).stderr, /backup\.target_in_use/);
  assert.deepEqual(listing(begun), ["nats", "version"]);
});

test("a changed byte in the log or in the base backup stops a restore", () => {
  const mounted = join(place, "mounted"); // a file system of its own: it is there before, and stays
  mkdirSync(join(mounted, "lost+found"), { recursive: true });
  writeFileSync(join(mounted, "lost+found", "1"), "found");
  const files = readdirSync(to, { recursive: true, withFileTypes: true }).filter((file) => file.isFile()).map((file) => join(file.parentPath ?? file.path, file.name));
  const newest = readdirSync(join(to, "bases")).sort().at(-1);
  for (const file of [join(to, "bases", newest, "base"), files.find((name) => name.includes(`/wal/${newest}/`) && /[0-9A-F]{24}$/.test(name))]) {
    const whole = readFileSync(file);
    const changed = Buffer.from(whole);
    changed[changed.length >> 1] ^= 1;
    writeFileSync(file, changed);
    const results = [join(place, "free"), mounted].map((folder) => restore(folder));
    writeFileSync(file, whole);
    for (const result of results) assert.match(result.stderr, /backup\.damaged/, file);
    assert.ok(!existsSync(join(place, "free")));
    assert.deepEqual(readdirSync(mounted, { recursive: true }).sort(), ["lost+found", "lost+found/1"]);
  }
});

test("after the loss of the data directory the platform is back, as it was at the chosen second", async () => {
  await platform.kill();
  await eventually("the data directory to be gone", () => {
    rmSync(platform.data, { recursive: true, force: true }); // the servers may still be ending in it
    return !existsSync(platform.data);
  });
  const restored = restore(platform.data, "--at", chosen);
  assert.equal(restored.status, 0, restored.stderr);
  await platform.start();
  assert.equal(userIds(), "alice,bob", "the mistake is undone, what came behind it is not there");
});

test("who had a key has it still, and what JetStream held is built again", async () => {
  const admin = await logIn(platform, platform.adminKey);
  const heard = [];
  admin.connection.subscribe("intra365.events.>", { callback: (_, message) => heard.push(message.json()) });
  await admin.connection.flush();
  const bob = platform.cli("user", "create", "dave");
  const session = await logIn(platform, bob.apiKey);
  await request(session, "intra365.consent.grant", { userId: "dave", mateId: "assistant", purposes: ["analytics"], scopes: ["profile.read"] });
  await eventually("an event from the restored database", () => heard.some((event) => event.type === "intra365.consent.granted" && event.data.userId === "dave"));
  const stream = await eventually("the change stream to hold the restored tables", async () => {
    const { reply } = await request(admin, "intra365.cdc.status", {});
    return reply.snapshots === 1 && reply;
  });
  assert.equal(stream.alarm, undefined);
  const verified = (await request(admin, "intra365.consent.verify", { userId: "bob", mateId: "assistant", scopes: ["profile.read"], purpose: "analytics" })).reply;
  assert.equal(verified.allowed, true);
  assert.equal(verified.consentId, granted.consentId);
  await session.connection.close();
  await admin.connection.close();
});

test("the restored database is backed up as a new line of time, and can be restored again", async () => {
  const done = backup("--keep", "2");
  assert.equal(done.status, 0, done.stderr);
  assert.match(done.stderr, /making a base backup/);
  const listed = restore("/nonexistent", "--list").stdout.trim().split("\n");
  assert.equal(listed.length, 2, "older ones are retired");
  assert.equal((await platform.stop()).code, 0);
  const free = join(place, "again");
  const again = restore(free);
  assert.equal(again.status, 0, again.stderr);
  rmSync(free, { recursive: true, force: true });
});

test("the Mate-to-Mate conversation holds on the restored platform", async () => {
  const { code, output } = await new Promise((done) =>
    execFile(program, ["--data", platform.data, "up", "--gateway", "127.0.0.1:0", "--nats", "127.0.0.1:0", "--demo", "--once"], { encoding: "utf8", timeout: 120_000 }, (error, stdout, stderr) => done({ code: error?.code ?? 0, output: stdout + stderr })),
  );
  assert.equal(code, 0, output);
  assert.match(output, /Every step held/);
});
