// The cross-client matrix: what our NATS client writes, @nats-io/* reads, and the other way round.
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, test } from "node:test";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { Objm } from "@nats-io/obj";
import { Svcm } from "@nats-io/services";
import { headers } from "@nats-io/transport-node";
import { Ours, Server } from "./lib/interop.js";

let server, ours, theirs;

before(async () => {
  server = await new Server().start();
  ours = new Ours(server.url);
  theirs = await server.theirs();
});

after(async () => {
  await theirs.drain();
  await ours.stop();
  await server.stop();
});

const collect = async (iterator, count) => {
  const rows = [];
  if (count === 0) return rows;
  for await (const row of iterator) {
    rows.push(row);
    if (rows.length === count) break;
  }
  return rows;
};

async function bytesOf(result) {
  const pieces = [];
  for await (const piece of result.data) pieces.push(piece);
  assert.ok(!(await result.error));
  return Buffer.concat(pieces);
}

const streamOf = (bytes) =>
  new ReadableStream({
    start(controller) {
      controller.enqueue(new Uint8Array(bytes));
      controller.close();
    },
  });

test("key-value: written by ours, read by theirs", async () => {
  await ours.call("kv.make", { bucket: "a", history: 5 });
  const kv = await new Kvm(theirs).open("a");
  assert.equal((await kv.status()).history, 5);
  const first = await ours.call("kv.put", { bucket: "a", key: "k.1", value: "one" });
  const entry = await kv.get("k.1");
  assert.deepEqual([entry.string(), entry.revision, entry.operation], ["one", first, "PUT"]);
  await ours.call("kv.update", { bucket: "a", key: "k.1", value: "two", revision: first });
  await ours.call("kv.remove", { bucket: "a", key: "k.1" });
  assert.equal((await kv.get("k.1")).operation, "DEL");
  const history = await collect(await kv.history({ key: "k.1" }));
  assert.deepEqual(history.map((one) => [one.operation, one.string()]), [["PUT", "one"], ["PUT", "two"], ["DEL", ""]]);
  await ours.call("kv.create", { bucket: "a", key: "k.1", value: "again" });
  await assert.rejects(ours.call("kv.create", { bucket: "a", key: "k.1", value: "twice" }), { code: "jetstream.wrong_revision" });
  await assert.rejects(kv.create("k.1", "twice"));
  await ours.call("kv.purge", { bucket: "a", key: "k.1" });
  assert.deepEqual((await collect(await kv.history({ key: "k.1" }))).map((one) => one.operation), ["PURGE"]);
  await ours.call("kv.put", { bucket: "a", key: "x=/_-1", value: "odd key" });
  assert.deepEqual(await collect(await kv.keys()), ["x=/_-1"]);
});

test("key-value: written by theirs, read by ours", async () => {
  const kv = await new Kvm(theirs).create("b", { history: 3, markerTTL: 1000 });
  const watching = ours.call("kv.watch", { bucket: "b", count: 5 });
  const revision = await kv.put("k", "one");
  assert.deepEqual(await ours.call("kv.get", { bucket: "b", key: "k" }), { key: "k", value: "one", revision, operation: "PUT" });
  await kv.update("k", "zwölf", revision);
  await kv.delete("k");
  assert.equal(await ours.call("kv.get", { bucket: "b", key: "k" }), null);
  const history = await ours.call("kv.history", { bucket: "b", key: "k" });
  assert.deepEqual(history.map((one) => [one.operation, one.value]), [["PUT", "one"], ["PUT", "zwölf"], ["DEL", ""]]);
  await kv.create("k", "again");
  await kv.put("other", "x");
  await kv.purge("k");
  assert.deepEqual(await ours.call("kv.keys", { bucket: "b" }), ["other"]);
  const watched = (await watching).filter((one) => one).map((one) => `${one.key} ${one.operation}`);
  assert.deepEqual(watched.slice(-4), ["k PUT", "k PUT", "k DEL", "k PUT"].slice(-watched.length));
  // The same bucket again, by ours: what theirs had set is kept.
  await ours.call("kv.make", { bucket: "b", history: 3 });
});

test("key-value: an expired key is gone for both", async () => {
  await ours.call("kv.make", { bucket: "c", history: 1 });
  const kv = await new Kvm(theirs).open("c");
  const watch = await kv.watch();
  await ours.call("kv.create", { bucket: "c", key: "by-ours", value: "x", ttl: 1 });
  await kv.create("by-theirs", "x", "1s");
  const seen = await collect(watch, 4);
  assert.deepEqual(seen.map((one) => `${one.key} ${one.operation}`).sort(), ["by-ours PURGE", "by-ours PUT", "by-theirs PURGE", "by-theirs PUT"]);
  assert.deepEqual(await ours.call("kv.keys", { bucket: "c" }), []);
  await ours.call("kv.create", { bucket: "c", key: "by-theirs", value: "new" });
});

test("object store: written by ours, read by theirs", async () => {
  await ours.call("obj.make", { bucket: "a" });
  const store = await new Objm(theirs).open("a");
  for (const size of [0, 1, 131072, 1_000_000]) {
    const value = randomBytes(size);
    const put = await ours.call("obj.put", { bucket: "a", name: "ein Ding/1", description: "d", value: value.toString("base64") });
    const info = await store.info("ein Ding/1");
    assert.deepEqual([info.size, info.chunks, info.digest, info.nuid, info.description], [size, Math.ceil(size / 131072), put.digest, put.nuid, "d"]);
    assert.deepEqual(info.metadata, { "written-by": "ours" });
    assert.deepEqual(info.headers.values("X-Kind"), ["a", "b"]);
    assert.ok((await bytesOf(await store.get("ein Ding/1"))).equals(value));
  }
  await ours.call("obj.link", { bucket: "a", name: "short", target: "ein Ding/1" });
  assert.equal((await bytesOf(await store.get("short"))).length, 1_000_000);
  assert.deepEqual((await store.list()).map((one) => one.name).sort(), ["ein Ding/1", "short"]);
  await ours.call("obj.remove", { bucket: "a", name: "ein Ding/1" });
  assert.equal((await store.info("ein Ding/1")).deleted, true);
  await ours.call("obj.seal", { bucket: "a" });
  assert.equal((await store.status()).sealed, true);
});

test("object store: written by theirs, read by ours", async () => {
  const store = await new Objm(theirs).create("b");
  for (const size of [0, 1, 5000, 700_000]) {
    const value = randomBytes(size);
    const put = await store.put({ name: "thing", description: "d", metadata: { a: "b" }, headers: (() => { const h = headers(); h.append("X", "1"); return h; })(), options: { max_chunk_size: 5000 } }, streamOf(value));
    const info = await ours.call("obj.info", { bucket: "b", name: "thing" });
    assert.deepEqual([info.size, info.chunks, info.digest, info.nuid, info.metadata], [size, Math.ceil(size / 5000), put.digest, put.nuid, { a: "b" }]);
    const got = Buffer.from(await ours.call("obj.get", { bucket: "b", name: "thing" }), "base64");
    assert.equal(createHash("sha256").update(got).digest("hex"), createHash("sha256").update(value).digest("hex"));
  }
  await store.link("short", await store.info("thing"));
  assert.equal(Buffer.from(await ours.call("obj.get", { bucket: "b", name: "short" }), "base64").length, 700_000);
  const put = await ours.call("obj.put", { bucket: "b", name: "thing", chunk: 1000, value: Buffer.from("replaced").toString("base64") });
  assert.equal((await store.info("thing")).nuid, put.nuid);
  assert.equal((await bytesOf(await store.get("short"))).toString(), "replaced");
  await store.delete("thing");
  await assert.rejects(ours.call("obj.get", { bucket: "b", name: "thing" }), { code: "jetstream.not_found" });
  assert.deepEqual((await ours.call("obj.list", { bucket: "b" })).map((one) => one.name), ["short"]);
});

test("JetStream: stored and consumed crosswise, alone, deduplicated and in batches", async () => {
  const manager = await jetstreamManager(theirs);
  const js = jetstream(theirs);
  await ours.call("js.make", { stream: "mine" });
  const { config } = await manager.streams.info("mine");
  assert.deepEqual([config.subjects, config.allow_atomic, config.metadata["made-by"]], [["mine.>"], true, "ours"]);
  await manager.streams.add({ name: "yours", subjects: ["yours.>"], compression: "s2", metadata: { "made-by": "theirs" }, allow_atomic: true });
  const info = await ours.call("js.info", { stream: "yours" });
  assert.deepEqual([info.subjects, info.metadata["made-by"], info.compression], [["yours.>"], "theirs", "s2"]);

  const first = await ours.call("js.publish", { subject: "yours.a", value: "from ours", id_header: "1" });
  assert.deepEqual(first, { seq: 1, duplicate: false });
  assert.equal((await js.publish("yours.a", "again", { msgID: "1" })).duplicate, true);
  await js.publish("mine.a", "from theirs", { msgID: "2" });
  assert.equal((await ours.call("js.publish", { subject: "mine.a", value: "again", id_header: "2" })).duplicate, true);

  assert.equal(await ours.call("js.batch", { subject: "yours.b", count: 100 }), 100);
  const batch = await js.startBatch("mine.b", "0");
  for (let i = 1; i < 99; ++i) batch.add("mine.b", String(i));
  assert.equal((await batch.commit("mine.b", "99")).count, 100);

  await ours.call("js.consumer", { stream: "yours", consumer: "c", subject: "yours.>" });
  await manager.consumers.add("mine", { durable_name: "c", ack_policy: "explicit", filter_subject: "mine.>" });
  const numbers = Array.from({ length: 100 }, (_, i) => String(i));
  const messages = await (await js.consumers.get("yours", "c")).consume();
  const read = [];
  for await (const message of messages) {
    read.push(message.string());
    await message.ackAck();
    if (read.length === 101) break;
  }
  assert.deepEqual(read, ["from ours", ...numbers]);
  assert.deepEqual(await ours.call("js.consume", { stream: "mine", consumer: "c", count: 101 }), ["from theirs", ...numbers]);
  for (const stream of ["yours", "mine"]) assert.equal((await manager.consumers.info(stream, "c")).num_ack_pending, 0);
});

test("services: found, measured and called crosswise", async () => {
  const services = new Svcm(theirs);
  const id = await ours.call("service.start", { name: "loud", subject: "loud.shout" });
  const client = services.client();
  const found = await collect(await client.info("loud"), 1);
  assert.deepEqual([found[0].id, found[0].version, found[0].endpoints[0].metadata], [id, "1.2.3", { kind: "test" }]);
  assert.equal((await theirs.request("loud.shout", "hello")).string(), "HELLO");
  const refused = await theirs.request("loud.shout", "");
  assert.equal(refused.headers.get("Nats-Service-Error-Code"), "400");
  const stats = (await collect(await client.stats("loud"), 1))[0];
  assert.deepEqual([stats.endpoints[0].num_requests, stats.endpoints[0].num_errors], [2, 1]);
  assert.ok(stats.endpoints[0].processing_time > 0);

  const service = await services.add({ name: "quiet", version: "0.1.0", description: "theirs" });
  service.addEndpoint("whisper", {
    subject: "quiet.whisper",
    handler: (error, message) => (message.string() === "" ? message.respondError(418, "nothing said") : message.respond(message.string().toLowerCase())),
  });
  await theirs.flush();
  assert.deepEqual(await ours.call("service.call", { subject: "quiet.whisper", value: "HELLO" }), { value: "hello", code: "", error: "" });
  const error = await ours.call("service.call", { subject: "quiet.whisper", value: "" });
  assert.deepEqual([error.code, error.error], ["418", "nothing said"]);
  const discovered = await ours.call("service.discover", { subject: "$SRV.INFO" });
  assert.deepEqual(discovered.map((one) => one.name).sort(), ["loud", "quiet"]);
  await service.stop();
  await ours.call("service.drain");
  await assert.rejects(theirs.request("loud.shout", "anybody?"));
  await assert.rejects(ours.call("service.call", { subject: "quiet.whisper", value: "anybody?" }), { code: "nats.no_responders" });
});
