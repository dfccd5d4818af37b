// The c15t backend as its guide says to host it: one process, a pool of connections to PostgreSQL.
//
//   C15T_DATABASE=… node server.js        prints its port once it answers; ends with its standard input
import { c15tInstance } from "@c15t/backend";
import { kyselyAdapter } from "@c15t/backend/db/adapters/kysely";
import { migrator } from "@c15t/backend/db/migrator";
import { DB } from "@c15t/backend/db/schema";
import { serve } from "@hono/node-server";
import { Kysely, PostgresDialect } from "kysely";
import pg from "pg";

const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: process.env.C15T_DATABASE, max: 16 }) }) });
const adapter = kyselyAdapter({ db, provider: "postgresql" });
const options = { appName: "bench", basePath: "/", trustedOrigins: ["http://127.0.0.1"], adapter, logger: { level: "error" } };
const migration = await migrator({ db: DB.client(adapter), schema: "latest" });
await migration.execute();
const instance = c15tInstance(options);
const server = serve({ fetch: instance.handler, port: 0, hostname: "127.0.0.1" }, ({ port }) => console.log(port));
process.stdin.on("end", () => server.close(() => process.exit(0))).resume();
