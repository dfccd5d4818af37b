// The connection string, taken apart so that names are resolved without blocking and limits are set.
#pragma once
#include <string>
#include <vector>

#include "async/task.hpp"
#include "postgres/errors.hpp"

namespace intra365::postgres {

/// Keywords and values as PQconnectStartParams takes them. May hold a password: never printed.
struct ConnectionTarget {
  std::vector<std::string> keywords, values;

  const std::string* find(std::string_view keyword) const;
  void set(std::string_view keyword, std::string value);
  void set_default(std::string_view keyword, std::string value);
  /// True when no host of it is on another machine, as far as the string tells.
  bool stays_on_this_machine() const;
};

/// Reads a libpq connection string (URI or keywords). Where it says nothing of TLS, a server on another
/// machine has to prove itself (`sslmode=verify-full`); libpq would let anybody answer. The error never
/// repeats any part of it.
Result<ConnectionTarget> parse_dsn(const std::string& dsn);
/// Fills in `hostaddr`, because libpq itself would look names up while the whole shard waits.
Task<ConnectionTarget> resolve_hosts(ConnectionTarget target);

}  // namespace intra365::postgres
