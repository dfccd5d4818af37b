#include "cli/commands.hpp"

#include <CLI/CLI.hpp>
#include <iostream>

#include "cli/arguments.hpp"
#include "cli/cel_commands.hpp"
#include "cli/change_commands.hpp"
#include "cli/consent_commands.hpp"
#include "cli/consent_upkeep_commands.hpp"
#include "cli/files.hpp"
#include "cli/household_commands.hpp"
#include "cli/output.hpp"
#include "cli/policy_commands.hpp"
#include "cli/privacy_commands.hpp"
#include "contract/catalog.hpp"
#include "contract/errors.hpp"
#include "contract/operations/audit.hpp"
#include "contract/operations/auth.hpp"
#include "contract/operations/policy.hpp"
#include "contract/operations/registry.hpp"

namespace intra365::cli {
namespace {

/// What the options of the commands are read into; one command runs per program.
struct Arguments {
  std::string name, role, country, capability, query, user, mate, consent, scopes, purposes, expires, trace,
      operation, body, action, file, text, head, reason;
};

Task<> create_user(sdk::Client& client, const Target& target, const Arguments& arguments) {
  auth::UserCreateRequest request;
  CO_TRY(request.name, UserId::parse(arguments.name));
  request.role = given(arguments.role);
  request.country = given(arguments.country);
  CO_TRY(const auto reply, co_await client.call(auth::user_create, std::move(request)));
  print(target, reply, "user " + reply.user_id.str() + "\nAPI key (shown this once): " + reply.api_key);
  co_return Result<void>{};
}

Task<> list_users(sdk::Client& client, const Target& target, const Arguments& arguments) {
  auth::UserListRequest request;
  request.display_name = given(arguments.query);
  CO_TRY(const auto reply, co_await client.call(auth::user_list, std::move(request)));
  std::string text = reply.users.empty() ? "nobody" : "";
  for (const auto& user : reply.users) {
    text += (text.empty() ? "" : "\n") + user.user_id.str() + "  " + user.display_name.value_or("-") + "  " +
            user.country.value_or("-");
  }
  print(target, reply, text);
  co_return Result<void>{};
}

Task<> create_mate(sdk::Client& client, const Target& target, const Arguments& arguments) {
  auth::MateCreateRequest request;
  CO_TRY(request.name, MateId::parse(arguments.name));
  request.role = given(arguments.role);
  CO_TRY(const auto reply, co_await client.call(auth::mate_create, std::move(request)));
  print(target, reply, "mate " + reply.mate_id.str() + "\nAPI key (shown this once): " + reply.api_key);
  co_return Result<void>{};
}

Task<> create_tenant(sdk::Client& client, const Target& target, const Arguments& arguments) {
  auth::TenantCreateRequest request;
  CO_TRY(request.name, TenantId::parse(arguments.name));
  CO_TRY(const auto reply, co_await client.call(auth::tenant_create, std::move(request)));
  print(target, reply,
        "tenant " + reply.tenant_id.str() + "\nAPI key of its operator (shown this once): " + reply.api_key);
  co_return Result<void>{};
}

Task<> list_mates(sdk::Client& client, const Target& target, const Arguments& arguments) {
  registry::DiscoverRequest request;
  CO_TRY(request.capability, given_id<Capability>(arguments.capability));
  request.query = given(arguments.query);
  CO_TRY(const auto reply, co_await client.call(registry::discover, std::move(request)));
  std::string text = reply.mates.empty() ? "no Mates" : "";
  for (const auto& mate : reply.mates) {
    text += (text.empty() ? "" : "\n") + mate.mate_id.str() + "  " + mate.version + "  " + mate.status + "  ";
    for (const auto& capability : mate.capabilities) text += capability.str() + " ";
  }
  print(target, reply, text);
  co_return Result<void>{};
}

Task<> list_audit(sdk::Client& client, const Target& target, const Arguments& arguments) {
  audit::QueryRequest request;
  request.trace_id = given(arguments.trace);
  request.text = given(arguments.text);
  CO_TRY(const auto reply, co_await client.call(audit::query, std::move(request)));
  std::string text = reply.entries.empty() ? "no entries" : "";
  for (const auto& entry : reply.entries) {
    text += (text.empty() ? "" : "\n") + format_rfc3339(entry.at) + "  " + entry.outcome + "  " +
            entry.actor + "  " + entry.action + "  " + entry.resource +
            (entry.code ? "  " + *entry.code : "") + "  " + entry.trace_id.value_or("-");
  }
  print(target, reply, text);
  co_return Result<void>{};
}

/// The whole chain, page by page; fails when it is not intact.
Task<> verify_audit(sdk::Client& client, const Target& target, const Arguments& arguments) {
  audit::VerifyReply all;
  all.intact = true;
  do {
    audit::VerifyRequest request;
    request.from_block = all.next_block;
    if (!all.next_block) request.head = given(arguments.head);
    CO_TRY(const auto page, co_await client.call(audit::verify, std::move(request)));
    all.intact = all.intact && page.intact;
    all.blocks += page.blocks;
    all.entries += page.entries;
    all.retired_blocks += page.retired_blocks;
    if (!page.head.empty()) all.head = page.head;
    all.problems.insert(all.problems.end(), page.problems.begin(), page.problems.end());
    all.next_block = page.next_block;
  } while (all.next_block);
  std::string text = std::to_string(all.entries) + " entries in " + std::to_string(all.blocks) + " blocks" +
                     (all.intact ? " are what was recorded" : " are NOT what was recorded");
  for (const auto& problem : all.problems)
    text += "\n  block " + std::to_string(problem.block) + "  " + problem.code + "  " + problem.detail;
  if (!all.head.empty()) text += "\nhead " + all.head;
  print(target, all, text);
  if (!all.intact) co_return fail(errors::audit_broken);
  co_return Result<void>{};
}

std::string line_of(const audit::Hold& hold) {
  return hold.hold_id + "  " + (hold.user_id ? "user:" + hold.user_id->str() : "everything") + "  " +
         (hold.released_at ? "released " + format_rfc3339(*hold.released_at) : "held") + "  " + hold.reason;
}

Task<> place_hold(sdk::Client& client, const Target& target, const Arguments& arguments) {
  audit::PlaceHoldRequest request;
  request.reason = arguments.reason;
  CO_TRY(request.user_id, given_id<UserId>(arguments.user));
  CO_TRY(const auto reply, co_await client.call(audit::hold_place, std::move(request)));
  print(target, reply, line_of(reply.hold));
  co_return Result<void>{};
}

Task<> release_hold(sdk::Client& client, const Target& target, const Arguments& arguments) {
  audit::HoldRequest request;
  request.hold_id = arguments.name;
  CO_TRY(const auto reply, co_await client.call(audit::hold_release, std::move(request)));
  print(target, reply, line_of(reply.hold));
  co_return Result<void>{};
}

Task<> list_holds(sdk::Client& client, const Target& target, const Arguments&) {
  Empty request;
  CO_TRY(const auto reply, co_await client.call(audit::hold_list, std::move(request)));
  std::string text = reply.holds.empty() ? "no holds" : "";
  for (const auto& hold : reply.holds) text += (text.empty() ? "" : "\n") + line_of(hold);
  print(target, reply, text);
  co_return Result<void>{};
}

Task<> list_set_aside(sdk::Client& client, const Target& target, const Arguments&) {
  Empty request;
  CO_TRY(const auto reply, co_await client.call(audit::set_aside_list, std::move(request)));
  std::string text = std::to_string(reply.total) + " entries were set aside";
  for (const auto& one : reply.entries)
    text += "\n" + one.set_aside_id + "  " + format_rfc3339(one.at) + "  " + one.reason + "\n  " + one.entry;
  print(target, reply, text);
  co_return Result<void>{};
}

Task<> retry_set_aside(sdk::Client& client, const Target& target, const Arguments& arguments) {
  audit::RetryRequest request;
  request.set_aside_id = given(arguments.name);
  CO_TRY(const auto reply, co_await client.call(audit::set_aside_retry, std::move(request)));
  print(target, reply,
        std::to_string(reply.stored) + " entries are in the trail now, " + std::to_string(reply.left) +
            " are still set aside");
  co_return Result<void>{};
}

Task<> print_token(sdk::Client& client, const Target& target) {
  const boost::json::object reply{{"token", client.access_token()}};
  print(target, boost::json::value(reply), client.access_token());
  co_return Result<void>{};
}

Task<> call_operation(sdk::Client& client, const Arguments& arguments) {
  const auto* operation = find_operation("intra365." + arguments.operation);
  if (operation == nullptr)
    co_return fail(errors::unknown_operation,
                   "there is no operation '" + arguments.operation + "'; 'intra365 call --list' shows all");
  auto body = arguments.body;
  if (body == "-") {
    CO_TRY(body, read_input("-"));
  }
  CO_TRY(const auto reply,
         co_await client.request_json(std::string(operation->spec->subject), std::move(body), {}));
  std::cout << reply << std::endl;
  co_return Result<void>{};
}

Task<> call_mate(sdk::Client& client, const Arguments& arguments) {
  CO_TRY(const auto mate, MateId::parse(arguments.mate));
  sdk::CallOptions options;
  CO_TRY(options.user_id, given_id<UserId>(arguments.user));
  CO_TRY(options.consent_id, given_id<ConsentId>(arguments.consent));
  auto payload = arguments.body;
  if (!arguments.file.empty()) {
    CO_TRY(payload, read_input(arguments.file));
  }
  CO_TRY(const auto reply, co_await client.call_mate(mate, arguments.capability, arguments.action,
                                                     std::move(payload), std::move(options)));
  std::cout << reply << std::endl;
  co_return Result<void>{};
}

void list_operations() {
  for (const auto& operation : catalog()) {
    if (operation.spec->access == Access::service) continue;
    std::cout << operation.spec->name() << "\n    " << operation.spec->summary << "\n    "
              << operation.spec->example << "\n";
  }
}

}  // namespace

void add_commands(CLI::App& app, Target& target, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  using Body = Task<> (*)(sdk::Client&, const Target&, const Arguments&);
  const auto runs = [&target, &exit_code, arguments](Body body) {
    return [&target, &exit_code, arguments, body] {
      exit_code = with_client(target, [&target, arguments, body](sdk::Client& client) {
        return body(client, target, *arguments);
      });
    };
  };
  const auto noun = [&app](const std::string& name, const std::string& description) {
    auto* command = app.add_subcommand(name, description);
    command->require_subcommand(1);
    return command;
  };
  const auto verb = [&target, runs](CLI::App* of, const std::string& name, const std::string& description,
                                    Body body) {
    auto* command = of->add_subcommand(name, description);
    command->add_flag("--json", target.json, "machine-readable output");
    command->callback(runs(body));
    return command;
  };

  auto* user = noun("user", "People");
  auto* user_create = verb(user, "create", "Create a person who logs in with an API key", create_user);
  user_create->add_option("name", arguments->name, "name, which becomes the id")->required();
  user_create->add_option("--role", arguments->role,
                          "user (default), operator, privacy-officer or change-reader");
  user_create->add_option("--country", arguments->country, "two letters, for policies");
  verb(user, "list", "The tenant's people", list_users)
      ->add_option("--name", arguments->query, "only who is called exactly this");

  auto* mate = noun("mate", "Mates: agents, apps, services, devices");
  auto* mate_create = verb(mate, "create", "Create the identity of a Mate", create_mate);
  mate_create->add_option("name", arguments->name, "name, which becomes the id")->required();
  mate_create->add_option("--role", arguments->role, "mate (default), operator or change-reader");
  auto* mate_list = verb(mate, "list", "Find registered Mates", list_mates);
  mate_list->add_option("--capability", arguments->capability);
  mate_list->add_option("--query", arguments->query, "words in name, description and tags");
  auto* mate_call = verb(
      mate, "call", "Call a Mate",
      [](sdk::Client& client, const Target&, const Arguments& given) { return call_mate(client, given); });
  mate_call->add_option("mate", arguments->mate)->required();
  mate_call->add_option("capability", arguments->capability)->required();
  mate_call->add_option("action", arguments->action)->required();
  mate_call->add_option("body", arguments->body, "payload");
  mate_call->add_option("--file", arguments->file, "payload from a file, '-' for standard input");
  mate_call->add_option("--user", arguments->user, "whose data is used");
  mate_call->add_option("--consent", arguments->consent, "by which consent");

  auto* tenant = noun("tenant", "Tenants");
  verb(tenant, "create", "Create a tenant with a NATS account of its own", create_tenant)
      ->add_option("name", arguments->name)
      ->required();

  add_consent_commands(app, target, exit_code);
  add_privacy_commands(app, target, exit_code);
  add_consent_upkeep_commands(app, target, exit_code);
  add_household_commands(app, target, exit_code);
  add_policy_commands(app, target, exit_code);
  add_cel_commands(app, target, exit_code);
  add_change_commands(app, target, exit_code);

  auto* audit = noun("audit", "The audit trail");
  auto* entries = verb(audit, "list", "Entries you may see, newest first", list_audit);
  entries->add_option("--trace", arguments->trace, "trace id");
  entries->add_option("--text", arguments->text, "words to search for");
  verb(audit, "verify", "Was anything changed, removed or slipped in?", verify_audit)
      ->add_option("--head", arguments->head, "a head printed earlier that the chain must still contain");
  auto* hold = verb(audit, "hold", "Keep entries beyond their retention", place_hold);
  hold->add_option("reason", arguments->reason)->required();
  hold->add_option("--user", arguments->user, "one person's entries only");
  verb(audit, "release", "End a legal hold", release_hold)->add_option("hold", arguments->name)->required();
  verb(audit, "holds", "Legal holds, newest first", list_holds);
  auto* set_aside = audit->add_subcommand("set-aside", "Entries that the database refused");
  set_aside->require_subcommand(1);
  verb(set_aside, "list", "What was set aside, oldest first", list_set_aside);
  verb(set_aside, "retry", "Bring entries into the trail, once what refused them is mended", retry_set_aside)
      ->add_option("entry", arguments->name, "one of them (default: up to 200)");

  auto* token = noun("token", "Access tokens");
  verb(token, "show", "Log in and print an access token",
       [](sdk::Client& client, const Target& of, const Arguments&) { return print_token(client, of); });

  auto* call = app.add_subcommand("call", "Call any operation with a JSON body");
  call->add_flag_callback(
      "--list",
      [] {
        list_operations();
        throw CLI::Success();
      },
      "show the operations");
  call->add_option("operation", arguments->operation, "such as registry.discover")->required();
  call->add_option("body", arguments->body, "JSON, '-' for standard input")->default_val("{}");
  call->callback(runs(
      [](sdk::Client& client, const Target&, const Arguments& of) { return call_operation(client, of); }));
}

}  // namespace intra365::cli
