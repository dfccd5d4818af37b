// One piece of work for `bench nats`; prints {"rate","p50","p99"}.
//
//   node index.js URL respond SUBJECT
//   node index.js URL request SUBJECT IN_FLIGHT SECONDS SIZE
//   node index.js URL publish SUBJECT COUNT SIZE
//   node index.js URL receive SUBJECT COUNT          (writes a line when it listens)
//   node index.js URL consume STREAM CONSUMER COUNT
import { jetstream } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";

const [url, work, subject, ...rest] = process.argv.slice(2);
const connection = await connect({ servers: url });
const payloadOf = (size) => new Uint8Array(Number(size)).fill(120);
const print = (figures) => console.log(JSON.stringify({ p50: 0, p99: 0, ...figures }));

const works = {
  async respond() {
    connection.subscribe(subject, { callback: (_, message) => message.respond(message.data) });
    await connection.flush();
    console.log("ready");
    await new Promise(() => {});
  },
  async request([inFlight, seconds, size]) {
    const payload = payloadOf(size), latencies = [], end = performance.now() + Number(seconds) * 1000;
    const one = async () => {
      while (performance.now() < end) {
        const begun = performance.now();
        await connection.request(subject, payload, { timeout: 5000 });
        latencies.push((performance.now() - begun) * 1000);
      }
    };
    await Promise.all(Array.from({ length: Number(inFlight) }, one));
    latencies.sort((a, b) => a - b);
    print({ rate: latencies.length / Number(seconds), p50: latencies[latencies.length >> 1], p99: latencies[Math.floor(latencies.length * 0.99)] });
  },
  async publish([count, size]) {
    const payload = payloadOf(size), begun = performance.now();
    for (let i = 0; i < Number(count); ++i) {
      connection.publish(subject, payload);
      if (i % 5000 === 4999) await connection.flush();
    }
    await connection.flush();
    print({ rate: Number(count) / ((performance.now() - begun) / 1000) });
  },
  async receive([count]) {
    let received = 0;
    await new Promise((done) => {
      connection.subscribe(subject, { callback: () => ++received === Number(count) && done() });
      connection.flush().then(() => console.log("ready"));
    });
  },
  async consume([consumer, count]) {
    const source = await jetstream(connection).consumers.get(subject, consumer);
    const begun = performance.now();
    let received = 0;
    for await (const _ of await source.consume({ max_messages: 1000 })) if (++received === Number(count)) break;
    print({ rate: received / ((performance.now() - begun) / 1000) });
  },
};
await works[work](rest);
process.exit(0);
