// Runs the built program for a test: a data directory of its own, free ports, and nothing left behind.
import { spawn, execFileSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect } from "@nats-io/transport-node";

const root = fileURLToPath(new URL("../../..", import.meta.url));
export const binaries = join(root, process.env.INTRA365_BUILD ?? "build/release");
export const picture = readFileSync(join(root, "mates/pictures/harbour.png"));

const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));

/** Waits until `probe` gives something true; fails with `what` after `ms`. */
export async function eventually(what, probe, ms = 20_000) {
  const end = Date.now() + ms;
  let last;
  while (Date.now() < end) {
    try {
      const value = await probe();
      if (value) return value;
    } catch (error) {
      last = error;
    }
    await sleep(20);
  }
  throw new Error(`${what} did not happen within ${ms} ms${last ? `: ${last.message}` : ""}`);
}

export class Platform {
  constructor() {
    this.data = mkdtempSync(join(tmpdir(), "intra365-e2e-"));
  }

  /** On the addresses of before, where it has run before and `sameAddresses` is asked for: for clients that reconnect. */
  async start({ sameAddresses = false } = {}) {
    const hostPort = (url) => (sameAddresses ? new URL(url).host : "127.0.0.1:0");
    rmSync(join(this.data, "endpoints.json"), { force: true });
    this.output = "";
    this.process = spawn(join(binaries, "intra365"), ["--data", this.data, "up", "--gateway", hostPort(this.endpoints?.gateway), "--nats", hostPort(this.endpoints?.nats)], { stdio: ["ignore", "pipe", "pipe"] });
    this.exited = new Promise((done) => this.process.on("exit", (code, signal) => done({ code, signal })));
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (chunk) => (this.output += chunk));
    const gone = this.exited.then(({ code }) => {
      throw new Error(`the platform ended with ${code}:\n${this.output}`);
    });
    gone.catch(() => {});
    await Promise.race([eventually("endpoints.json", () => existsSync(join(this.data, "endpoints.json")), 60_000), gone]);
    this.endpoints = JSON.parse(readFileSync(join(this.data, "endpoints.json"), "utf8"));
    this.adminKey = readFileSync(join(this.data, "admin.key"), "utf8").trim();
    return this;
  }

  async stop() {
    this.process.kill("SIGTERM");
    return await this.exited;
  }

  async kill() {
    this.process.kill("SIGKILL");
    return await this.exited;
  }

  remove() {
    rmSync(this.data, { recursive: true, force: true });
  }

  /** `intra365 …` with --json; the parsed output. */
  cli(...args) {
    return JSON.parse(execFileSync(join(binaries, "intra365"), ["--data", this.data, ...args, "--json"], { encoding: "utf8" }));
  }

  /** The same as whoever holds `apiKey`. */
  cliAs(apiKey, ...args) {
    const env = { ...process.env, INTRA365_API_KEY: apiKey };
    return JSON.parse(execFileSync(join(binaries, "intra365"), ["--data", this.data, ...args, "--json"], { encoding: "utf8", env, stdio: ["ignore", "pipe", "pipe"] }));
  }

  /** HTTP to the gateway; `token` becomes the bearer. */
  async http(method, path, { token, body, headers = {} } = {}) {
    const response = await fetch(this.endpoints.gateway + path, {
      method,
      body: body === undefined || body instanceof Uint8Array ? body : JSON.stringify(body),
      headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...headers },
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: text.startsWith("{") ? JSON.parse(text) : undefined };
  }

  async token(apiKey) {
    const reply = await this.http("POST", "/v1/auth/token", { body: { provider: "api-key", credentials: { apiKey } } });
    if (reply.status !== 200) throw new Error(reply.text);
    return reply.json.token;
  }

  /** The sample image analyzer as a process of its own. */
  analyzer(apiKey) {
    return spawn(join(binaries, "image-analyzer"), [], {
      stdio: ["ignore", "ignore", "inherit"],
      env: { INTRA365_NATS_URL: this.endpoints.nats, INTRA365_API_KEY: apiKey },
    });
  }
}

/** A plain NATS client that logs in as the contract says: as a guest for a token, then with the token. */
export async function logIn(platform, apiKey) {
  const suffix = randomUUID().replaceAll("-", "");
  const guest = await connect({ servers: platform.endpoints.nats, inboxPrefix: `_INBOX_guest.${suffix}`, reconnect: false });
  const answer = await guest.request("intra365.auth.token.request", JSON.stringify({ provider: "api-key", credentials: { apiKey } }), { timeout: 5000 });
  await guest.close();
  const reply = answer.json();
  if (reply.error) throw new Error(reply.error.code);
  const id = reply.mateId ?? reply.userId;
  const connection = await connect({ servers: platform.endpoints.nats, user: "token", pass: reply.token, inboxPrefix: `_INBOX_${id}` });
  return { connection, token: reply.token, id, reply };
}
