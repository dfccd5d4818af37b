#include "cli/consent_commands.hpp"

#include <CLI/CLI.hpp>

#include "cli/arguments.hpp"
#include "cli/files.hpp"
#include "cli/output.hpp"
#include "contract/errors.hpp"
#include "contract/operations/households.hpp"
#include "contract/operations/opt_outs.hpp"

namespace intra365::cli {
namespace {

struct Arguments {
  std::string user, mate, consent, scopes, purposes, expires, method, notice, supersedes, at, known, name,
      description, effective, household, proof;
  std::uint64_t revision = 0;
  std::optional<int> depth;
  bool organisation = false, inherited = false, inheritable = false, opt_out = false;
  int default_days = 0, max_days = 0;
};

std::optional<std::uint64_t> given_revision(const Arguments& arguments) {
  return arguments.revision == 0 ? std::nullopt : std::optional(arguments.revision);
}

std::string describe(const consent::Consent& one) {
  auto text = one.consent_id.str() + "  " + one.user_id.str() + " -> " + one.mate_id.str() + "  " +
              word(one.status) + "  " + joined(one.scopes) + " for " + joined(one.purposes);
  if (one.expires_at) text += "  until " + format_rfc3339(*one.expires_at);
  return text + "  revision " + std::to_string(one.revision);
}

/// What the person was shown and from where they answered, from a file: it is personal, and what is typed is
/// seen by everybody on the machine.
Result<std::optional<consent::Evidence>> given_proof(const std::string& file) {
  if (file.empty()) return std::optional<consent::Evidence>();
  TRY(const auto text, read_input(file));
  TRY(auto proof, json::decode<consent::Evidence>(text));
  return std::optional(std::move(proof));
}

bool is_for_group(const Arguments& arguments) {
  return arguments.organisation || !arguments.household.empty();
}

/// For a household or the organisation; `operation` says yes or no.
template <const auto& operation>
Task<> say_for_group(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::InheritedRequest request;
  CO_TRY(request.household_id, given_id<consent::HouseholdId>(arguments.household));
  CO_TRY(request.mate_id, MateId::parse(arguments.mate));
  CO_TRY(request.scopes, names<Scope>(arguments.scopes));
  CO_TRY(request.purposes, names<Purpose>(arguments.purposes));
  CO_TRY(request.expires_at, given_time(arguments.expires));
  request.method = given(arguments.method);
  request.notice_version = given(arguments.notice);
  request.delegation_depth = arguments.depth;
  CO_TRY(const auto reply, co_await client.call(operation, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Task<> grant(sdk::Client& client, const Target& target, const Arguments& arguments) {
  if (is_for_group(arguments)) {
    if (!arguments.supersedes.empty())
      co_return fail(errors::bad_value, "--supersedes: not for a household or the organisation");
    if (!arguments.proof.empty())
      co_return fail(errors::bad_value, "--proof: not for a household or the organisation");
    co_return co_await say_for_group<consent::grant_inherited>(client, target, arguments);
  }
  consent::GrantRequest request;
  CO_TRY(request.user_id, UserId::parse(client.id()));
  CO_TRY(request.mate_id, MateId::parse(arguments.mate));
  CO_TRY(request.scopes, names<Scope>(arguments.scopes));
  CO_TRY(request.purposes, names<Purpose>(arguments.purposes));
  CO_TRY(request.expires_at, given_time(arguments.expires));
  CO_TRY(request.proof, given_proof(arguments.proof));
  CO_TRY(request.supersedes, given_id<ConsentId>(arguments.supersedes));
  request.method = given(arguments.method);
  request.notice_version = given(arguments.notice);
  request.delegation_depth = arguments.depth;
  CO_TRY(const auto reply, co_await client.call(consent::grant, std::move(request)));
  print(target, reply,
        "consent " + reply.consent_id.str() + " granted, epoch " + std::to_string(reply.epoch));
  co_return Result<void>{};
}

Task<> refuse(sdk::Client& client, const Target& target, const Arguments& arguments) {
  if (is_for_group(arguments)) {
    if (!arguments.proof.empty())
      co_return fail(errors::bad_value, "--proof: not for a household or the organisation");
    co_return co_await say_for_group<consent::refuse_inherited>(client, target, arguments);
  }
  consent::RefuseRequest request;
  CO_TRY(request.user_id, UserId::parse(client.id()));
  CO_TRY(request.mate_id, MateId::parse(arguments.mate));
  CO_TRY(request.scopes, names<Scope>(arguments.scopes));
  CO_TRY(request.purposes, names<Purpose>(arguments.purposes));
  CO_TRY(request.proof, given_proof(arguments.proof));
  request.method = given(arguments.method);
  request.notice_version = given(arguments.notice);
  CO_TRY(const auto reply, co_await client.call(consent::refuse, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Task<> narrow(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::NarrowRequest request;
  CO_TRY(request.consent_id, ConsentId::parse(arguments.consent));
  CO_TRY(request.scopes, names<Scope>(arguments.scopes));
  CO_TRY(request.purposes, names<Purpose>(arguments.purposes));
  CO_TRY(request.expires_at, given_time(arguments.expires));
  request.revision = given_revision(arguments);
  CO_TRY(const auto reply, co_await client.call(consent::narrow, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Task<> renew(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::RenewRequest request;
  CO_TRY(request.consent_id, ConsentId::parse(arguments.consent));
  CO_TRY(request.expires_at, given_time(arguments.expires));
  request.revision = given_revision(arguments);
  CO_TRY(const auto reply, co_await client.call(consent::renew, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Task<> delegate(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::DelegateRequest request;
  CO_TRY(request.consent_id, ConsentId::parse(arguments.consent));
  CO_TRY(request.mate_id, MateId::parse(arguments.mate));
  CO_TRY(request.scopes, names<Scope>(arguments.scopes));
  CO_TRY(request.purposes, names<Purpose>(arguments.purposes));
  CO_TRY(request.expires_at, given_time(arguments.expires));
  request.delegation_depth = arguments.depth;
  request.revision = given_revision(arguments);
  CO_TRY(const auto reply, co_await client.call(consent::delegate, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

template <const auto& operation>
Task<> hold(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::HoldRequest request;
  CO_TRY(request.consent_id, ConsentId::parse(arguments.consent));
  request.revision = given_revision(arguments);
  CO_TRY(const auto reply, co_await client.call(operation, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Task<> revoke(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::RevokeRequest request;
  CO_TRY(request.consent_id, given_id<ConsentId>(arguments.consent));
  CO_TRY(request.mate_id, given_id<MateId>(arguments.mate));
  CO_TRY(request.effective_at, given_time(arguments.effective));
  request.revision = given_revision(arguments);
  CO_TRY(const auto reply, co_await client.call(consent::revoke, std::move(request)));
  print(target, reply,
        std::to_string(reply.consents.size()) + " consent(s) revoked, epoch " + std::to_string(reply.epoch));
  co_return Result<void>{};
}

Task<> object(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::ObjectRequest request;
  CO_TRY(request.user_id, UserId::parse(client.id()));
  CO_TRY(request.purposes, names<Purpose>(arguments.purposes));
  CO_TRY(const auto reply, co_await client.call(consent::object, std::move(request)));
  std::string text = reply.consents.empty() ? "no consent allowed that" : "";
  for (const auto& one : reply.consents) text += (text.empty() ? "" : "\n") + describe(one);
  print(target, reply, text);
  co_return Result<void>{};
}

Task<> opt_out(sdk::Client& client, const Target& target, const Arguments&) {
  consent::OptOutRequest request;
  CO_TRY(request.user_id, UserId::parse(client.id()));
  CO_TRY(const auto reply, co_await client.call(consent::opt_out, std::move(request)));
  std::string text =
      reply.purposes.empty() ? "there is nothing to opt out of" : "opted out of " + joined(reply.purposes);
  for (const auto& one : reply.consents) text += "\n" + describe(one);
  print(target, reply, text);
  co_return Result<void>{};
}

Task<> list(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::QueryRequest request;
  CO_TRY(request.user_id, given_id<UserId>(arguments.user));
  CO_TRY(request.mate_id, given_id<MateId>(arguments.mate));
  if (arguments.inherited) request.inherited = true;
  CO_TRY(const auto reply, co_await client.call(consent::query, std::move(request)));
  std::string text = reply.consents.empty() ? "no consents" : "";
  for (const auto& one : reply.consents) text += (text.empty() ? "" : "\n") + describe(one);
  print(target, reply, text);
  co_return Result<void>{};
}

Task<> history(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::AuditRequest request;
  CO_TRY(request.consent_id, given_id<ConsentId>(arguments.consent));
  CO_TRY(request.user_id, given_id<UserId>(arguments.user));
  CO_TRY(request.mate_id, given_id<MateId>(arguments.mate));
  CO_TRY(const auto reply, co_await client.call(consent::audit, std::move(request)));
  std::string text = reply.entries.empty() ? "no changes" : "";
  for (const auto& one : reply.entries) {
    text += (text.empty() ? "" : "\n") + format_rfc3339(one.recorded_at) + "  " + one.consent_id.str() +
            "  " + word(one.event) + "  by " + one.actor + "  " + joined(one.scopes) + " for " +
            joined(one.purposes) + "  revision " + std::to_string(one.revision);
    if (one.valid_from < one.recorded_at) text += "  since " + format_rfc3339(one.valid_from);
  }
  print(target, reply, text);
  co_return Result<void>{};
}

Task<> as_of(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::AsOfRequest request;
  CO_TRY(request.user_id, UserId::parse(arguments.user.empty() ? client.id() : arguments.user));
  CO_TRY(request.mate_id, MateId::parse(arguments.mate));
  CO_TRY(request.scopes, names<Scope>(arguments.scopes));
  CO_TRY(request.purpose, Purpose::parse(arguments.purposes));
  CO_TRY(request.valid_at, given_time(arguments.at));
  CO_TRY(request.known_at, given_time(arguments.known));
  CO_TRY(const auto reply, co_await client.call(consent::as_of, std::move(request)));
  auto text = (reply.allowed ? "lawful: " : "not lawful: ") + word(reply.code) +
              (reply.inherited_from ? " by the " + word(*reply.inherited_from) : "") + "  at " +
              format_rfc3339(reply.valid_at) + ", as known at " + format_rfc3339(reply.known_at);
  for (const auto& one : reply.consents) text += "\n" + describe(one);
  print(target, reply, text);
  co_return Result<void>{};
}

std::string describe(const consent::CatalogueReply& reply) {
  std::string text = reply.closed ? "closed: other names are refused" : "open: other names are taken as well";
  for (const auto& one : reply.purposes) {
    text += "\npurpose  " + one.purpose.str() + "  " + one.description;
    if (one.default_days) text += "  default " + std::to_string(*one.default_days) + " days";
    if (one.max_days) text += "  at most " + std::to_string(*one.max_days) + " days";
    if (one.inheritable) text += "  inheritable";
    if (one.opt_out) text += "  may be opted out of";
  }
  for (const auto& one : reply.scopes) text += "\nscope    " + one.scope.str() + "  " + one.description;
  return text;
}

Task<> show_catalogue(sdk::Client& client, const Target& target, const Arguments&) {
  CO_TRY(const auto reply, co_await client.call(consent::catalogue, Empty()));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

template <bool closed>
Task<> set_catalogue(sdk::Client& client, const Target& target, const Arguments&) {
  consent::CatalogueRequest request;
  request.closed = closed;
  CO_TRY(const auto reply, co_await client.call(consent::set_catalogue, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Task<> define_purpose(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::PurposeEntry request;
  CO_TRY(request.purpose, Purpose::parse(arguments.name));
  request.description = arguments.description;
  if (arguments.default_days != 0) request.default_days = arguments.default_days;
  if (arguments.max_days != 0) request.max_days = arguments.max_days;
  request.inheritable = arguments.inheritable;
  request.opt_out = arguments.opt_out;
  CO_TRY(const auto reply, co_await client.call(consent::define_purpose, std::move(request)));
  print(target, reply, "purpose " + reply.purpose.str() + " defined");
  co_return Result<void>{};
}

Task<> define_scope(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::ScopeEntry request;
  CO_TRY(request.scope, Scope::parse(arguments.name));
  request.description = arguments.description;
  CO_TRY(const auto reply, co_await client.call(consent::define_scope, std::move(request)));
  print(target, reply, "scope " + reply.scope.str() + " defined");
  co_return Result<void>{};
}

}  // namespace

void add_consent_commands(CLI::App& app, Target& target, int& exit_code) {
  const auto given = std::make_shared<Arguments>();
  auto* noun =
      app.add_subcommand("consent", "Consents; grant and change as the person (INTRA365_API_KEY_FILE)");
  noun->require_subcommand(1);
  using Body = Task<> (*)(sdk::Client&, const Target&, const Arguments&);
  const auto verb_of = [&target, &exit_code, given](CLI::App* of, const std::string& name,
                                                    const std::string& description, Body body) {
    auto* command = of->add_subcommand(name, description);
    command->add_flag("--json", target.json, "machine-readable output");
    command->callback([&target, &exit_code, given, body] {
      exit_code = with_client(
          target, [&target, given, body](sdk::Client& client) { return body(client, target, *given); });
    });
    return command;
  };
  const auto verb = [&](const std::string& name, const std::string& description, Body body) {
    return verb_of(noun, name, description, body);
  };
  const auto what = [&](CLI::App* command, bool required) {
    command->add_option("--scopes", given->scopes, "comma-separated")->required(required);
    command->add_option("--purposes", given->purposes, "comma-separated")->required(required);
  };
  const auto how = [&](CLI::App* command) {
    command->add_option("--method", given->method, "how the person said so, such as console or paper");
    command->add_option("--notice", given->notice, "version of the text they were shown");
    command->add_option("--proof", given->proof,
                        "file (- for standard input) with what they were shown and from where they answered: "
                        R"({"text","language","address","userAgent"})");
  };
  const auto which = [&](CLI::App* command) {
    command->add_option("consent,--consent", given->consent)->required();
    command->add_option("--revision", given->revision, "fail when it has changed since this one");
  };

  const auto whose = [&](CLI::App* command) {
    auto* household = command->add_option("--household", given->household, "as a keeper, for this household");
    command->add_flag("--organisation", given->organisation, "as the operator, for everybody of the tenant")
        ->excludes(household);
  };

  auto* one = verb("grant", "Allow a Mate to use your data", grant);
  whose(one);
  one->add_option("--mate", given->mate)->required();
  what(one, true);
  how(one);
  one->add_option("--expires", given->expires, "RFC 3339");
  one->add_option("--supersedes", given->supersedes, "a consent that this one replaces");
  one->add_option("--delegable", given->depth, "in how many steps the Mate may hand it on, 0 to 5");
  one = verb("delegate", "As a Mate: hand a consent on to another, narrower and never longer", delegate);
  which(one);
  one->add_option("--mate", given->mate, "to whom")->required();
  what(one, false);
  one->add_option("--expires", given->expires, "RFC 3339");
  one->add_option("--delegable", given->depth, "in how many more steps");
  one = verb("refuse", "Say no to a Mate that asks for your data", refuse);
  whose(one);
  one->add_option("--mate", given->mate)->required();
  what(one, true);
  how(one);
  one = verb("narrow", "Allow less than before", narrow);
  which(one);
  what(one, false);
  one->add_option("--expires", given->expires, "RFC 3339");
  one = verb("renew", "Let a consent hold for longer", renew);
  which(one);
  one->add_option("--expires", given->expires, "RFC 3339");
  which(verb("suspend", "Pause a consent", hold<consent::suspend>));
  which(verb("resume", "End the pause of a consent", hold<consent::resume>));
  one = verb("revoke", "Take a consent back", revoke);
  one->add_option("--consent", given->consent, "one consent");
  one->add_option("--mate", given->mate, "everything granted to a Mate");
  one->add_option("--revision", given->revision, "fail when it has changed since this one");
  one->add_option("--effective", given->effective, "since when, where that was earlier; RFC 3339");
  one = verb("object", "Object to purposes, whoever has them", object);
  one->add_option("--purposes", given->purposes, "comma-separated, with all below them")->required();
  verb("opt-out", "Opt out of what the law lets you opt out of: your data sold or shared", opt_out);
  one = verb("list", "Consents you may see", list);
  one->add_flag("--inherited", given->inherited, "those of your household and organisation");
  one->add_option("--user", given->user);
  one->add_option("--mate", given->mate);
  one = verb("history", "Every change of the consents you may see", history);
  one->add_option("--consent", given->consent);
  one->add_option("--user", given->user);
  one->add_option("--mate", given->mate);
  one = verb("as-of", "Was a use lawful at one time, by what was known at another?", as_of);
  one->add_option("--user", given->user, "yourself when absent");
  one->add_option("--mate", given->mate)->required();
  one->add_option("--scopes", given->scopes, "comma-separated")->required();
  one->add_option("--purpose", given->purposes)->required();
  one->add_option("--at", given->at, "when it was used; RFC 3339, now when absent");
  one->add_option("--known", given->known, "by what was known then; RFC 3339, now when absent");

  auto* catalogue =
      noun->add_subcommand("catalogue", "What consent is asked for; to change it, the operator");
  catalogue->require_subcommand(1);
  verb_of(catalogue, "show", "Purposes and scopes with their lifetimes", show_catalogue);
  verb_of(catalogue, "close", "Refuse purposes and scopes that are not listed", set_catalogue<true>);
  verb_of(catalogue, "open", "Take any purpose and scope", set_catalogue<false>);
  one = verb_of(catalogue, "purpose", "Add or change a purpose", define_purpose);
  one->add_option("name", given->name)->required();
  one->add_option("--description", given->description);
  one->add_option("--default-days", given->default_days,
                  "how long a consent holds unless they say otherwise");
  one->add_option("--max-days", given->max_days, "the longest it may hold");
  one->add_flag("--inheritable", given->inheritable,
                "households and the organisation may consent for their people");
  one->add_flag("--opt-out", given->opt_out, "the law lets people opt out: data are sold or shared");
  one = verb_of(catalogue, "scope", "Add or change a scope", define_scope);
  one->add_option("name", given->name)->required();
  one->add_option("--description", given->description);
}

}  // namespace intra365::cli
