// How change data capture is doing.
#pragma once
#include <string>

#include "contract/operation.hpp"

namespace intra365::cdc {

using namespace std::chrono_literals;

struct StatusReply {
  std::string state;          ///< connecting, waiting (another process reads the slot), streaming, stopped
  std::string confirmed_lsn;  ///< PostgreSQL may forget what is before it
  std::string server_lsn;
  std::int64_t lag_bytes = 0;                                             ///< what PostgreSQL keeps for us
  std::int64_t changes = 0, batches = 0, transactions = 0, restarts = 0;  ///< since this process started
};
BOOST_DESCRIBE_STRUCT(StatusReply, (),
                      (state, confirmed_lsn, server_lsn, lag_bytes, changes, batches, transactions, restarts))

inline constexpr auto status = operation<Empty, StatusReply>({
    .subject = "intra365.cdc.status",
    .http = {Method::get, "/v1/cdc/status"},
    .access = Access::platform_operator,
    .deadline = 500ms,
    .audited = false,
    .summary = "How far the change stream is behind the database.",
    .example = R"({})",
});

}  // namespace intra365::cdc
