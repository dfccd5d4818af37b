// The bucket `mates` follows the registry's tables through the change stream, whatever is killed or lost.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Kvm } from "@nats-io/kv";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { Platform, eventually, logIn } from "./lib/platform.js";
import { request } from "./lib/mate.js";

const platform = new Platform();
const keys = {}, sessions = {};
let inside, bucket;

const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-Atc", text], { encoding: "utf8" }).trim().split("\n").filter(Boolean);
const describe = (name, more = {}) => ({ name, type: "service", version: "1.0.0", capabilities: ["echo"], ...more });
const ask = async (name, operation, body) => {
  const answer = await request(sessions[name], `intra365.registry.${operation}`, body);
  assert.equal(answer.error, undefined, JSON.stringify(answer.reply));
  return answer.reply;
};

async function open() {
  const creds = readFileSync(join(platform.data, "keys", "platform.creds"));
  inside = await connect({ servers: platform.endpoints.nats, authenticator: credsAuthenticator(creds) });
  bucket = await new Kvm(inside).open("mates");
}
async function entries(filter = ">") {
  const found = {};
  for await (const key of await bucket.keys(filter)) {
    const entry = await bucket.get(key);
    if (key.includes(".") && entry?.operation === "PUT") found[key] = entry.json();
  }
  return found;
}
/** What the tables say that the bucket should hold. */
function expected() {
  const found = {};
  for (const row of sql("select json_build_object('k', tenant_id || '.' || mate_id, 'v', json_build_object('mateId', mate_id, 'name', name, 'type', type, 'version', version, 'status', status, 'revision', revision)) from intra365.mates").map(JSON.parse)) found[row.k] = row.v;
  for (const row of sql("select json_build_object('k', tenant_id || '.' || mate_id || '.' || capability, 'v', json_build_object('mateId', mate_id, 'capability', capability)) from intra365.mate_capabilities").map(JSON.parse)) found[row.k] = row.v;
  return found;
}
const sorted = (object) => JSON.stringify(Object.entries(object).sort());
const agree = (what) => eventually(what, async () => sorted(await entries()) === sorted(expected()));

before(async () => {
  await platform.start();
  for (const name of ["painter", "writer"]) {
    keys[name] = platform.cli("mate", "create", name).apiKey;
    sessions[name] = await logIn(platform, keys[name]);
  }
  await open();
});

after(async () => {
  for (const session of Object.values(sessions)) await session.connection.close();
  await inside?.close();
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("who registers appears, with every capability, and who has one can be watched", async () => {
  const watched = [];
  const watch = await bucket.watch({ key: "default.*.image-analysis" });
  (async () => {
    for await (const entry of watch) watched.push(`${entry.operation} ${entry.key}`);
  })();
  await ask("painter", "register", describe("The Painter", { capabilities: ["image-analysis", "echo"] }));
  await ask("writer", "register", describe("The Writer"));
  await agree("the bucket to hold both");
  assert.deepEqual(Object.keys(await entries("default.*.echo")).sort(), ["default.painter.echo", "default.writer.echo"]);
  await ask("painter", "register", describe("The Painter", { version: "2.0.0" }));
  await agree("the bucket to hold the new version");
  assert.equal((await entries())["default.painter"].version, "2.0.0");
  await eventually("the watcher to hear of it", () => watched.join() === "PUT default.painter.image-analysis,DEL default.painter.image-analysis");
  watch.stop();
});

test("a heartbeat writes nothing", async () => {
  const before = (await bucket.get("default.writer")).revision;
  await ask("writer", "heartbeat", {});
  await ask("writer", "heartbeat", { status: "degraded" });
  await agree("the status to be known");
  const changed = await bucket.get("default.writer");
  assert.equal(changed.json().status, "degraded");
  await ask("writer", "heartbeat", {});
  await ask("painter", "register", describe("The Painter", { version: "2.0.1" }));
  await agree("what came after the heartbeat");
  assert.equal((await bucket.get("default.writer")).revision, changed.revision);
  assert.ok(changed.revision > before);
});

test("what was registered right before a crash is there after it", async () => {
  await ask("writer", "register", describe("The Writer", { version: "3.0.0", capabilities: ["prose", "verse"] }));
  await platform.kill();
  await inside.close();
  await platform.start();
  await open();
  await agree("the bucket to follow");
  assert.equal((await entries())["default.writer"].version, "3.0.0");
});

test("a bucket that somebody deleted, and a Mate that left, are made good", async () => {
  const manager = await jetstreamManager(inside);
  await manager.streams.delete("KV_mates");
  sessions.painter = await logIn(platform, keys.painter);
  await ask("painter", "deregister", { mateId: "painter" });
  await eventually("the bucket to be there again", async () => {
    bucket = await new Kvm(inside).open("mates");
    return sorted(await entries()) === sorted(expected());
  });
  assert.equal((await entries())["default.painter"], undefined);
});
