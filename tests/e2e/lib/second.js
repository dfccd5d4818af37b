// A second program with some of the services, against the servers of a platform: what production runs.
import { execFileSync, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binaries, eventually } from "./platform.js";

/** `intra365 serve --roles …`; resolves when it answers. `replicas`: DSNs of standbys. */
export async function serve(platform, roles, replicas = []) {
  const sockets = execFileSync("psql", [platform.endpoints.postgres, "-Atc", "show unix_socket_directories"], { encoding: "utf8" }).trim();
  const password = readFileSync(join(platform.data, "keys", "postgres-service.password"), "utf8").trim();
  const keys = join(platform.data, "keys");
  const config = join(platform.data, `serve-${roles.join("-")}.yaml`);
  writeFileSync(
    config,
    `nats:\n  urls: ["${platform.endpoints.nats}"]\n  platformCredsFile: ${join(keys, "platform.creds")}\npostgres:\n  serviceDsn: "postgresql://intra365_service:${password}@/intra365?host=${encodeURIComponent(sockets)}&port=${new URL(platform.endpoints.postgres).port}"\n${replicas.length ? `  replicaDsns: ${JSON.stringify(replicas)}\n` : ""}keys:\n  keyEncryptionKeyFile: ${join(keys, "key-encryption.key")}\n`,
    { mode: 0o600 },
  );
  const process = spawn(join(binaries, "intra365"), ["serve", "--config", config, "--roles", roles.join(",")], { stdio: ["ignore", "pipe", "pipe"] });
  process.output = "";
  for (const stream of [process.stdout, process.stderr]) stream.on("data", (chunk) => (process.output += chunk));
  process.ended = new Promise((done) => process.on("exit", (code, signal) => done({ code, signal })));
  await eventually(`a second ${roles}`, () => {
    if (process.exitCode !== null) throw new Error(process.output);
    return process.output.includes('"ready"');
  });
  return process;
}
