// The NATS client as a stranger gets it: its examples, and a program built against the installed package alone.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { Server } from "./lib/interop.js";
import { binaries } from "./lib/platform.js";

const root = fileURLToPath(new URL("../..", import.meta.url));
const server = new Server();
const prefix = mkdtempSync(join(tmpdir(), "intra365-package-"));
before(() => server.start());
after(async () => {
  await server.stop();
  rmSync(prefix, { recursive: true });
});

const run = (program, ...args) => execFileSync(program, args, { encoding: "utf8" }).trim().split("\n");

test("the examples do what they say", () => {
  assert.deepEqual(run(join(binaries, "nats_example_request_reply"), server.url), ["Hello, Ada", "nats.no_responders"]);
  assert.deepEqual(run(join(binaries, "nats_example_stream"), server.url), ["stored once: true", "1 one", "2 two", "3 three"]);
  assert.deepEqual(run(join(binaries, "nats_example_bucket"), server.url), ["jetstream.wrong_revision", "green"]);
});

test("the README shows the first example as it is", () => {
  const shown = readFileSync(join(root, "src/nats/README.md"), "utf8").match(/```cpp\n([^]*?)```/)[1];
  assert.ok(readFileSync(join(root, "src/nats/examples/request_reply.cpp"), "utf8").includes(shown.trim()));
});

test("a program is built against the installed package alone", { skip: process.env.INTRA365_BUILD && "a sanitizer's build is not for others to link" }, () => {
  execFileSync("cmake", ["--install", binaries, "--component", "nats", "--prefix", prefix], { stdio: "ignore" });
  const flags = execFileSync("pkg-config", ["--cflags", "--libs", "intra365-nats"], { encoding: "utf8", env: { ...process.env, PKG_CONFIG_PATH: join(prefix, "lib/pkgconfig") } }).trim().split(/\s+/);
  const program = join(prefix, "request_reply");
  execFileSync("g++", ["-std=gnu++23", "-o", program, join(root, "src/nats/examples/request_reply.cpp"), ...flags], { stdio: ["ignore", "ignore", "inherit"] });
  assert.deepEqual(run(program, server.url), ["Hello, Ada", "nats.no_responders"]);
});
