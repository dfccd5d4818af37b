// A person's copy of everything is read in pieces: however much it is, and however large its rows, the platform needs no
// more memory for it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Platform } from "./lib/platform.js";

const platform = new Platform();
const rows = 120;
const sql = (text) => execFileSync("psql", [platform.endpoints.postgres, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", text], { encoding: "utf8" });
const memory = (field) => Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(readFileSync(`/proc/${platform.endpoints.pid}/status`, "utf8"))[1]) / 1024;
/** How many megabytes more than before the program needed at most while `work` was done. */
async function needed(work) {
  writeFileSync(`/proc/${platform.endpoints.pid}/clear_refs`, "5"); // the peak begins anew
  const before = memory("VmRSS");
  await work();
  return memory("VmHWM") - before;
}

before(async () => {
  await platform.start();
});

after(async () => {
  assert.equal((await platform.stop()).code, 0);
  platform.remove();
});

test("an export of large rows comes whole, and costs no more memory than a small one", { timeout: 120_000 }, async () => {
  const key = platform.cli("user", "create", "wilhelmina").apiKey;
  const out = join(platform.data, "export.json");
  const take = () => platform.cliAs(key, "privacy", "export", "--out", out);
  take();
  sql(`insert into intra365.consent_records (tenant_id, consent_id, user_id, mate_id, purposes, scopes, granted, granted_at, epoch, mate_epoch, metadata)
       select 'default', 'large-' || n, 'wilhelmina', 'archive', '{p}', '{s}', true, now(), n, n, jsonb_build_object('note', repeat(md5(n::text), 6250)) from generate_series(1, ${rows}) n`);
  const more = await needed(take);
  const found = JSON.parse(readFileSync(out, "utf8")).flatMap((page) => page.document.rows).filter(({ table }) => table === "consent_records");
  assert.equal(new Set(found.map(({ row }) => row.consent_id)).size, rows);
  assert.ok(found.every(({ row }) => row.metadata.note.length === 200_000), "every one of them whole, opened where it was sealed");
  console.log(`${rows} rows of 200 kB: ${more.toFixed(1)} MB more`);
  assert.ok(more < 25, `${more} MB`);
});
