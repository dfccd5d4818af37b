#include "cli/change_commands.hpp"

#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/arguments.hpp"
#include "contract/operations/cdc.hpp"

namespace intra365::cli {
namespace {

struct Arguments {
  std::string table, cursor, since;
  std::optional<int> limit;
  bool follow = false;
};

constexpr int kWaitMs = 2000;

/// One change a line; the cursor goes to standard error, where it is out of the way of what reads the lines.
Task<> read_changes(sdk::Client& client, const Arguments& arguments) {
  cdc::ChangesRequest request;
  request.table = arguments.table;
  request.cursor = given(arguments.cursor);
  CO_TRY(request.since, given_time(arguments.since));
  request.limit = arguments.limit;
  std::string cursor = arguments.cursor;
  for (bool more = true; more;) {
    auto next = request;
    const auto reply = co_await client.call(cdc::changes, std::move(next));
    if (!reply) {
      if (!cursor.empty()) std::cerr << "cursor " << cursor << "\n";
      co_return fail(reply.error());
    }
    for (const auto& change : reply->changes) std::cout << json::encode(change) << "\n";
    std::cout << std::flush;
    cursor = reply->cursor;
    request.cursor = cursor;
    request.since.reset();
    if (arguments.follow) request.wait_ms = reply->behind == 0 ? kWaitMs : 0;
    more = arguments.follow || (reply->behind > 0 && !arguments.limit);
  }
  std::cerr << "cursor " << cursor << "\n";
  co_return Result<void>{};
}

}  // namespace

void add_change_commands(CLI::App& app, Target& target, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  auto* events = app.add_subcommand("events", "What happens");
  events->require_subcommand(1);
  auto* changes = events->add_subcommand(
      "changes", "A table's rows as they changed, one a line of JSON, for who has the role change-reader");
  changes->add_option("table", arguments->table, "such as consent_records")->required();
  changes->add_option("--cursor", arguments->cursor, "go on behind this one, as printed at the end");
  changes->add_option("--since", arguments->since, "replay from this time on, such as 2026-11-01T12:00:00Z");
  changes->add_option("--limit", arguments->limit, "so many and no more, 1 to 500");
  changes->add_flag("--follow", arguments->follow, "wait for more, until Ctrl-C");
  changes->add_flag("--json", target.json, "what is printed is JSON either way");
  changes->callback([&target, &exit_code, arguments] {
    exit_code =
        with_client(target, [arguments](sdk::Client& client) { return read_changes(client, *arguments); });
  });
}

}  // namespace intra365::cli
