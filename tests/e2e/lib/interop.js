// A nats-server of the test's own, and our C++ client behind a pipe (interop.cpp).
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { connect } from "@nats-io/transport-node";
import { eventually, binaries } from "./platform.js";

const root = fileURLToPath(new URL("../../..", import.meta.url));

const freePort = () =>
  new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });

export class Server {
  async start() {
    this.dir = mkdtempSync(join(tmpdir(), "intra365-nats-"));
    this.url = `nats://127.0.0.1:${await freePort()}`;
    const config = join(this.dir, "nats.conf");
    writeFileSync(config, `listen: "${this.url.slice(7)}"\njetstream { store_dir: "${this.dir}/store" }\n`);
    this.process = spawn(process.env.INTRA365_NATS_SERVER ?? join(root, ".deps/bin/nats-server"), ["--config", config, "--log", join(this.dir, "log")], { stdio: "ignore" });
    await eventually("the NATS server", () => readFileSync(join(this.dir, "log"), "utf8").includes("Server is ready"));
    return this;
  }

  async stop() {
    const ended = new Promise((done) => this.process.on("exit", done));
    this.process.kill();
    await ended;
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** A connection of the other client. */
  theirs() {
    return connect({ servers: this.url });
  }
}

export class Ours {
  constructor(url) {
    this.process = spawn(join(binaries, "nats_interop"), [url], { stdio: ["pipe", "pipe", "inherit"] });
    this.waiting = new Map();
    this.next = 0;
    createInterface({ input: this.process.stdout }).on("line", (line) => {
      const { id, ok, error, detail } = JSON.parse(line);
      const { resolve, reject } = this.waiting.get(id);
      this.waiting.delete(id);
      error ? reject(Object.assign(new Error(`${error}: ${detail}`), { code: error })) : resolve(ok);
    });
    this.process.on("exit", (code) => {
      for (const { reject } of this.waiting.values()) reject(new Error(`nats_interop ended with ${code}`));
    });
  }

  call(call, values = {}) {
    const id = ++this.next;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.process.stdin.write(JSON.stringify({ call, id, ...values }) + "\n");
    });
  }

  async stop() {
    const ended = new Promise((done) => this.process.on("exit", done));
    this.process.stdin.end();
    await ended;
  }
}
