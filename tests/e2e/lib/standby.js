// A hot standby of a platform's PostgreSQL: a copy of its data, made while it runs, that follows it by streaming.
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync, chmodSync, chownSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually } from "./platform.js";

const freePort = () =>
  new Promise((done) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => done(port));
    });
  });

export class Standby {
  constructor(platform) {
    this.primary = new URL(platform.endpoints.postgres);
    this.folder = mkdtempSync(join(tmpdir(), "intra365-standby-"));
    this.log = "";
    const psql = (...args) => execFileSync("psql", [this.primary.href, "-qAtX", "-v", "ON_ERROR_STOP=1", ...args], { encoding: "utf8" });
    const source = psql("-c", "show data_directory").trim();
    const data = (this.data = join(this.folder, "data"));
    // One session from beginning to end of the copy; files that vanish meanwhile are mended by the log.
    const label = psql("-c", "select pg_backup_start('standby', true)", "-c", `\\! cp -a ${source} ${data} 2> /dev/null; rm -rf ${data}/postmaster.pid ${data}/pg_replslot/* ${data}/standby.signal`, "-c", "select labelfile from pg_backup_stop(false)");
    writeFileSync(join(data, "backup_label"), label.slice(label.indexOf("START WAL LOCATION")));
    writeFileSync(join(data, "standby.signal"), "");
    this.owner = statSync(data);
    for (const path of [this.folder, join(data, "backup_label"), join(data, "standby.signal")]) chownSync(path, this.owner.uid, this.owner.gid);
    chmodSync(this.folder, 0o700);
    this.program = readlinkSync(`/proc/${readFileSync(join(source, "postmaster.pid"), "utf8").split("\n")[0]}/exe`);
    this.password = readFileSync(join(platform.data, "keys", "postgres-service.password"), "utf8").trim();
  }

  async start() {
    this.port ??= await freePort();
    rmSync(join(this.data, "postmaster.pid"), { force: true });
    const follow = `host=127.0.0.1 port=${this.primary.port} user=${this.primary.username} password=${decodeURIComponent(this.primary.password)}`;
    const settings = [`port=${this.port}`, "listen_addresses=127.0.0.1", "unix_socket_directories=", `primary_conninfo=${follow}`, "log_statement=all", "log_min_duration_statement=-1", "logging_collector=off", "archive_mode=off", "hot_standby=on"];
    this.process = spawn(this.program, ["-D", this.data, ...settings.flatMap((setting) => ["-c", setting])], { uid: this.owner.uid, gid: this.owner.gid, stdio: ["ignore", "pipe", "pipe"], env: { LC_ALL: "C" } });
    for (const stream of [this.process.stdout, this.process.stderr]) stream.on("data", (chunk) => (this.log += chunk));
    this.exited = new Promise((done) => this.process.on("exit", done));
    await eventually("the standby", () => {
      if (this.process.exitCode !== null) throw new Error(this.log.slice(-2000));
      return this.sql("select pg_is_in_recovery()")[0] === "t";
    });
    return this;
  }

  get dsn() {
    return `postgresql://intra365_service:${this.password}@127.0.0.1:${this.port}/intra365`;
  }
  sql(text) {
    const url = new URL(this.primary.href);
    url.port = this.port;
    return execFileSync("psql", [url.href, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }).split("\n").filter(Boolean);
  }
  /** How often the standby was asked something that says this. */
  asked(text) {
    return this.log.split(text).length - 1;
  }
  async pauseReplay() {
    this.sql("select pg_wal_replay_pause()");
    await eventually("the pause", () => this.sql("select pg_get_wal_replay_pause_state()")[0] === "paused");
  }
  resumeReplay() {
    this.sql("select pg_wal_replay_resume()");
  }
  /** Waits until everything of the primary is here. */
  async catchUp() {
    const [end] = execFileSync("psql", [this.primary.href, "-qAtX", "-c", "select pg_current_wal_insert_lsn()"], { encoding: "utf8" }).split("\n");
    await eventually("the standby catches up", () => this.sql(`select pg_last_wal_replay_lsn() >= '${end}'`)[0] === "t");
  }
  /** All of its processes: the postmaster's own stop would not keep the others from answering. */
  signalFamily(signal) {
    const { pid } = this.process;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean).map(Number);
    for (const one of [pid, ...children]) {
      try {
        process.kill(one, signal);
      } catch (error) {
        if (error.code !== "ESRCH") throw error; // it has just ended
      }
    }
  }
  async stop(signal = "SIGQUIT") {
    if (this.process.exitCode === null && this.process.signalCode === null) this.signalFamily("SIGCONT");
    this.process.kill(signal);
    await this.exited;
  }
  remove() {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
