#include "cli/household_commands.hpp"

#include <CLI/CLI.hpp>

#include "cli/arguments.hpp"
#include "cli/output.hpp"
#include "contract/operations/households.hpp"

namespace intra365::cli {
namespace {

struct Arguments {
  std::string household, user, effective;
  bool keeper = false;
};

std::string describe(const consent::Household& one) {
  auto text = one.household_id.str() + (one.ended_at ? "  ended" : "");
  for (const auto& member : one.members)
    text += "\n  " + member.user_id.str() + (member.keeper ? "  keeper" : "") +
            (member.joined_at ? "" : "  invited");
  return text;
}

Task<> found(sdk::Client& client, const Target& target, const Arguments&) {
  CO_TRY(const auto reply, co_await client.call(consent::found_household, Empty()));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Task<> list(sdk::Client& client, const Target& target, const Arguments&) {
  CO_TRY(const auto reply, co_await client.call(consent::households, Empty()));
  std::string text = reply.households.empty() ? "no household" : "";
  for (const auto& one : reply.households) text += (text.empty() ? "" : "\n") + describe(one);
  print(target, reply, text);
  co_return Result<void>{};
}

Task<> invite(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::InviteRequest request;
  CO_TRY(request.household_id, consent::HouseholdId::parse(arguments.household));
  CO_TRY(request.user_id, UserId::parse(arguments.user));
  if (arguments.keeper) request.keeper = true;
  CO_TRY(const auto reply, co_await client.call(consent::invite_to_household, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

std::string describe(const consent::MembershipReply& reply) {
  return describe(reply.household) + "\n  epoch " + std::to_string(reply.epoch) +
         (reply.propagation.published ? "" : ", known everywhere after ") +
         (reply.propagation.published ? "" : std::to_string(reply.propagation.bound_ms) + " ms");
}

Task<> join(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::JoinRequest request;
  CO_TRY(request.household_id, consent::HouseholdId::parse(arguments.household));
  CO_TRY(const auto reply, co_await client.call(consent::join_household, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Task<> leave(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::LeaveRequest request;
  CO_TRY(request.household_id, consent::HouseholdId::parse(arguments.household));
  CO_TRY(request.user_id, given_id<UserId>(arguments.user));
  CO_TRY(request.effective_at, given_time(arguments.effective));
  CO_TRY(const auto reply, co_await client.call(consent::leave_household, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

}  // namespace

void add_household_commands(CLI::App& app, Target& target, int& exit_code) {
  const auto given = std::make_shared<Arguments>();
  auto* noun = app.get_subcommand("consent")->add_subcommand(
      "household", "Groups of people who consent for each other; where somebody has said nothing themselves");
  noun->require_subcommand(1);
  using Body = Task<> (*)(sdk::Client&, const Target&, const Arguments&);
  const auto verb = [&](const std::string& name, const std::string& description, Body body) {
    auto* command = noun->add_subcommand(name, description);
    command->add_flag("--json", target.json, "machine-readable output");
    command->callback([&target, &exit_code, given, body] {
      exit_code = with_client(
          target, [&target, given, body](sdk::Client& client) { return body(client, target, *given); });
    });
    return command;
  };
  const auto which = [&](CLI::App* command) {
    command->add_option("household,--household", given->household)->required();
    return command;
  };
  verb("found", "Found a household; you are its first keeper", found);
  verb("list", "Your household, and those that have invited you", list);
  auto* one = which(verb("invite", "As a keeper: invite a person", invite));
  one->add_option("--user", given->user)->required();
  one->add_flag("--keeper", given->keeper, "who may consent for the household, too");
  which(verb("join", "Join a household that has invited you", join));
  one = which(verb("leave", "Leave a household; it ends with its last keeper", leave));
  one->add_option("--user", given->user, "as a keeper: have somebody leave, or withdraw their invitation");
  one->add_option("--effective", given->effective, "since when, where that was earlier; RFC 3339");
}

}  // namespace intra365::cli
