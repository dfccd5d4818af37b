// Forward-only migrations: SQL files applied once, in order, each recorded with its checksum.
#pragma once
#include <string>
#include <vector>

#include "postgres/pool.hpp"

namespace intra365::postgres {

/// `id` orders migrations over all services: "0001_tenants", "0002_users" …
struct Migration {
  std::string id;
  std::string sql;
};

struct MigrationReport {
  std::vector<std::string> applied;
  std::size_t known = 0;
};

/// Applies what is missing, each in a transaction of its own, under an advisory lock so that two programs
/// starting together do it once. Fails with `postgres.unknown_schema` when the database has a migration that
/// `migrations` does not, or one with another checksum. Services may go on meanwhile: a migration that would
/// wait for one of their locks lets go of its own after two seconds and begins again, until `deadline`.
Task<MigrationReport> migrate(Pool& owner, std::vector<Migration> migrations, SteadyTime deadline);
/// The same check without changing anything; services call it before they start.
Task<> check_schema(Pool& pool, std::vector<Migration> migrations, SteadyTime deadline);

}  // namespace intra365::postgres
