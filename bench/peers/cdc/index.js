// Reads a slot with pg-logical-replication and publishes each row to JetStream, asynchronously, with a message id
// against duplicates. Prints the rows a second.
//
//   node index.js NATS_URL DSN SLOT PUBLICATION ROWS
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { LogicalReplicationService, PgoutputPlugin } from "pg-logical-replication";

const [url, dsn, slot, publication, wanted] = process.argv.slice(2);
const connection = await connect({ servers: url });
const manager = await jetstreamManager(connection);
await manager.streams.add({ name: "PEER", subjects: ["peer.>"] });
const stream = jetstream(connection);

const service = new LogicalReplicationService({ connectionString: dsn }, { acknowledge: { auto: true, timeoutSeconds: 10 } });
let begun, lsn, index = 0;
const pending = new Set();
const finished = new Promise((done) => {
  service.on("data", (at, log) => {
    begun ??= performance.now();
    if (log.tag !== "insert" || index >= Number(wanted)) return;
    lsn = at;
    const publish = stream.publish(`peer.${log.relation.name}`, JSON.stringify(log.new, (_, value) => (typeof value === "bigint" ? String(value) : value)), { msgID: `${lsn}.${++index}`, timeout: 60_000 });
    pending.add(publish);
    publish.finally(() => pending.delete(publish));
    if (index === Number(wanted)) done();
  });
});
service.subscribe(new PgoutputPlugin({ protoVersion: 1, publicationNames: [publication] }), slot).catch(() => {});
await finished;
await Promise.all(pending);
console.log(index / ((performance.now() - begun) / 1000));
process.exit(0);
