#include "postgres/sqlstate.hpp"

#include <algorithm>
#include <array>

namespace intra365::postgres {
namespace {

struct Mapping {
  std::string_view prefix;  ///< a class of two characters or a whole SQLSTATE; the first that fits counts
  const ErrorCode* code;
};

constexpr std::array kMappings{
    Mapping{"23505", &errors::unique_violation},
    Mapping{"23P01", &errors::unique_violation},  // exclusion constraint: such a row is there already
    Mapping{"23503", &errors::foreign_key_violation},
    Mapping{"23001", &errors::foreign_key_violation},
    Mapping{"23514", &errors::check_violation},
    Mapping{"23502", &errors::check_violation},  // not null
    Mapping{"22", &errors::invalid_value},
    Mapping{"40003", &errors::unavailable},  // completion unknown
    Mapping{"40", &errors::serialization},
    Mapping{"55P03", &errors::serialization},  // lock not available
    Mapping{"57014", &errors::timeout},
    Mapping{"57P", &errors::unavailable},    // shutdown, crash, starting up, idle session
    Mapping{"25P03", &errors::unavailable},  // idle in transaction too long: the session is closed
    Mapping{"25006", &errors::unavailable},  // read-only: a standby answers, the primary is moving
    Mapping{"08", &errors::unavailable},
    Mapping{"53", &errors::unavailable},  // out of connections, memory, disk
};

/// Classes whose messages name tables, columns and functions, never the values of a row.
bool message_is_harmless(std::string_view sqlstate) {
  return sqlstate.starts_with("42") || sqlstate.starts_with("3F") || sqlstate.starts_with("25") ||
         sqlstate.starts_with("26") || sqlstate.starts_with("0A") || sqlstate.starts_with("53");
}

std::string about(std::string_view query) {
  return "query " + std::string(query) + ": ";
}

}  // namespace

const ErrorCode& error_code(std::string_view sqlstate) {
  const auto found =
      std::ranges::find_if(kMappings, [&](const Mapping& m) { return sqlstate.starts_with(m.prefix); });
  return found == kMappings.end() ? errors::query_failed : *found->code;
}

Error server_error(std::string_view query, const ServerError& error) {
  std::string detail = about(query) + "SQLSTATE " + std::string(error.sqlstate);
  if (!error.constraint.empty()) detail += ", constraint " + std::string(error.constraint);
  if (message_is_harmless(error.sqlstate)) detail += ", " + one_line(error.message);
  return Error(error_code(error.sqlstate), std::move(detail));
}

Error connection_lost(std::string_view query, std::string_view reason) {
  return Error(errors::unavailable, about(query) + std::string(reason));
}

std::string one_line(std::string_view text) {
  std::string line(text.substr(0, 300));
  while (!line.empty() && (line.back() == '\n' || line.back() == ' ')) line.pop_back();
  std::ranges::replace_if(
      line, [](unsigned char c) { return c < ' '; }, ' ');
  return line;
}

}  // namespace intra365::postgres
