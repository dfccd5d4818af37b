// From PostgreSQL's SQLSTATE to our declared errors.
#pragma once
#include <string_view>

#include "postgres/errors.hpp"

namespace intra365::postgres {

/// What the server said about a failure. Its DETAIL and HINT are left out: they quote the row's values.
struct ServerError {
  std::string_view sqlstate;
  std::string_view message;     ///< used only where it names identifiers and never values
  std::string_view constraint;  ///< empty when none
};

/// The declared error for a SQLSTATE (appendix A of PostgreSQL's manual).
const ErrorCode& error_code(std::string_view sqlstate);
/// `query NAME: SQLSTATE 23505, constraint users_email_key`.
Error server_error(std::string_view query, const ServerError& error);
/// `query NAME: REASON` under `postgres.unavailable`.
Error connection_lost(std::string_view query, std::string_view reason);
/// One line of at most 300 bytes, for what libpq reports about a connection attempt.
std::string one_line(std::string_view text);

}  // namespace intra365::postgres
