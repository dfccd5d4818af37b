#include "cli/privacy_commands.hpp"

#include <CLI/CLI.hpp>

#include "cli/arguments.hpp"
#include "cli/files.hpp"
#include "cli/output.hpp"
#include "consent/receipt.hpp"
#include "contract/operations/privacy.hpp"
#include "crypto/attestation.hpp"

namespace intra365::cli {
namespace {

namespace bj = boost::json;

struct Arguments {
  std::string user, mate, consent, file, keys, earlier, out, confirm, again, request, kind, text, since,
      until;
  std::optional<std::string> name, country;
  bool open = false, refuse = false;
};

/// Whose rights: the caller's own unless somebody is named.
Result<UserId> person(sdk::Client& client, const Arguments& arguments) {
  return UserId::parse(arguments.user.empty() ? client.id() : arguments.user);
}

/// To a file that only its owner may read, or to standard output.
template <class Document>
Result<void> deliver(const Target& target, const Arguments& arguments, const Document& document) {
  if (arguments.out.empty()) {
    std::cout << json::encode(document) << std::endl;
    return {};
  }
  CHECK(write_private(arguments.out, json::encode(document) + "\n"));
  print(target, bj::value{{"file", arguments.out}}, "written to " + arguments.out);
  return {};
}

Task<> show_keys(sdk::Client& client, const Target&, const Arguments&) {
  CO_TRY(const auto reply, co_await client.call(privacy::keys, Empty()));
  std::cout << json::encode(reply.keys) << std::endl;
  co_return Result<void>{};
}

Task<> show_receipt(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::ProofRequest request;
  CO_TRY(request.consent_id, ConsentId::parse(arguments.consent));
  CO_TRY(const auto reply, co_await client.call(consent::receipt, std::move(request)));
  co_return deliver(target, arguments, reply);
}

Task<> show_evidence(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::ProofRequest request;
  CO_TRY(request.consent_id, ConsentId::parse(arguments.consent));
  CO_TRY(const auto reply, co_await client.call(consent::evidence, std::move(request)));
  std::string text = reply.entries.empty() ? "no evidence" : "";
  for (const auto& one : reply.entries) {
    text += (text.empty() ? "" : "\n") + format_rfc3339(one.recorded_at) + "  " + word(one.event) +
            "  from " + one.evidence.address.value_or("-") + "  " + one.evidence.user_agent.value_or("-");
    if (one.evidence.text) text += "\n  shown: " + *one.evidence.text;
  }
  print(target, reply, text);
  co_return Result<void>{};
}

/// Every page, signed each for itself and linked to the one before.
Task<> export_(sdk::Client& client, const Target& target, const Arguments& arguments) {
  std::vector<AttestedDocument> pages;
  std::optional<std::string> cursor;
  do {
    privacy::ExportRequest request;
    CO_TRY(request.user_id, person(client, arguments));
    request.cursor = cursor;
    CO_TRY(auto page, co_await client.call(privacy::export_, std::move(request)));
    cursor = page.next_cursor;
    pages.push_back({std::move(page.document), std::move(page.signature)});
    if (cursor) std::cerr << "page " << pages.size() << std::endl;
  } while (cursor);
  co_return deliver(target, arguments, pages);
}

/// Asks how far it is until it is done: long work shows progress.
Task<> erase(sdk::Client& client, const Target& target, const Arguments& arguments) {
  privacy::EraseRequest request;
  CO_TRY(request.user_id, person(client, arguments));
  CO_TRY(request.confirm, UserId::parse(arguments.confirm));
  if (!arguments.again.empty()) request.again = arguments.again;
  const bool oneself = request.user_id.str() == client.id();
  CO_TRY(auto state, co_await client.call(privacy::erase, std::move(request)));
  while (!oneself && state.state == privacy::RequestState::working) {
    std::cerr << "\rerasing: " << state.rows << " rows, " << state.messages << " messages"
              << (state.held ? "; waits for the release of a legal hold" : "") << std::flush;
    co_await sleep_for(std::chrono::seconds(1));
    privacy::StatusRequest question;
    question.request_id = state.request_id;
    CO_TRY(state, co_await client.call(privacy::status, std::move(question)));
  }
  if (!oneself) std::cerr << std::endl;
  print(target, state,
        oneself ? "your data is being erased, and your keys no longer work; request " + state.request_id
                : "erased: " + std::to_string(state.rows) + " rows, " + std::to_string(state.messages) +
                      " messages; the history calls the person " + state.pseudonym.str());
  co_return Result<void>{};
}

Task<> status(sdk::Client& client, const Target& target, const Arguments& arguments) {
  privacy::StatusRequest question;
  question.request_id = arguments.request;
  CO_TRY(const auto state, co_await client.call(privacy::status, std::move(question)));
  print(target, state,
        word(state.state) + ": " + std::to_string(state.rows) + " rows, " + std::to_string(state.messages) +
            " messages" + (state.held ? "; waits for the release of a legal hold" : ""));
  co_return Result<void>{};
}

std::string describe(const privacy::PersonRequest& one) {
  auto text = one.request_id + "  " + word(one.kind) + "  " + word(one.state) + "  " +
              (one.user_id ? one.user_id->str() : "-") + "  due " + format_rfc3339(one.due_at) +
              (one.overdue ? "  OVERDUE" : "");
  if (one.text) text += "\n  " + *one.text;
  if (one.resolution) text += "\n  " + *one.resolution;
  return text;
}

Task<> submit(sdk::Client& client, const Target& target, const Arguments& arguments) {
  privacy::SubmitRequest request;
  CO_TRY(request.user_id, person(client, arguments));
  CO_TRY(request.kind, json::from_value<privacy::RequestKind>(bj::value(arguments.kind)));
  request.text = arguments.text;
  CO_TRY(const auto reply, co_await client.call(privacy::submit, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Task<> list(sdk::Client& client, const Target& target, const Arguments& arguments) {
  privacy::ListRequest request;
  CO_TRY(request.user_id, given_id<UserId>(arguments.user));
  if (arguments.open) request.open = true;
  CO_TRY(const auto reply, co_await client.call(privacy::list, std::move(request)));
  std::string text = reply.requests.empty() ? "no requests" : "";
  for (const auto& one : reply.requests) text += (text.empty() ? "" : "\n") + describe(one);
  if (reply.overdue > 0) text += "\n" + std::to_string(reply.overdue) + " overdue";
  print(target, reply, text);
  co_return Result<void>{};
}

Task<> resolve(sdk::Client& client, const Target& target, const Arguments& arguments) {
  privacy::ResolveRequest request;
  request.request_id = arguments.request;
  request.state = arguments.refuse ? privacy::RequestState::refused : privacy::RequestState::done;
  request.resolution = arguments.text;
  CO_TRY(const auto reply, co_await client.call(privacy::resolve, std::move(request)));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Task<> correct(sdk::Client& client, const Target& target, const Arguments& arguments) {
  privacy::CorrectRequest request;
  CO_TRY(request.user_id, person(client, arguments));
  request.display_name = arguments.name;
  request.country = arguments.country;
  CO_TRY(const auto reply, co_await client.call(privacy::correct, std::move(request)));
  print(target, reply,
        reply.user_id.str() + "  " + reply.display_name.value_or("-") + "  " + reply.country.value_or("-"));
  co_return Result<void>{};
}

std::string describe(const privacy::AccessEntry& one) {
  return format_rfc3339(one.last_at) + "  " + one.user_id.str() + "  by " + one.actor + "  " + one.resource +
         "  " + one.outcome + "  " + std::to_string(one.count) + " times  " + joined(one.scopes) +
         (one.purpose ? " for " + one.purpose->str() : "") + "  under consent " +
         (one.consent_id ? one.consent_id->str() : "none") + "  recorded by " +
         one.recorded_by.value_or("somebody");
}

/// Every page: sentences as they come, JSON as one document.
Task<> access(sdk::Client& client, const Target& target, const Arguments& arguments) {
  privacy::AccessRequest request;
  request.limit = 200;
  CO_TRY(request.user_id, given_id<UserId>(arguments.user));
  CO_TRY(request.mate_id, given_id<MateId>(arguments.mate));
  CO_TRY(request.since, given_time(arguments.since));
  CO_TRY(request.until, given_time(arguments.until));
  privacy::AccessReply all;
  do {
    CO_TRY(auto page, co_await client.call(privacy::access, request));
    request.cursor = std::move(page.next_cursor);
    for (auto& one : page.entries) {
      if (!target.json) std::cout << describe(one) << "\n";
      all.entries.push_back(std::move(one));
    }
  } while (request.cursor);
  if (target.json || all.entries.empty()) print(target, all, "nobody has used it");
  co_return Result<void>{};
}

std::string describe(const privacy::SealingReply& reply) {
  std::string text;
  for (const auto& key : reply.keys) {
    text += (text.empty() ? "key " : "\nkey ") + std::to_string(key.number) + "  made " +
            format_rfc3339(key.made_at) +
            (key.destroyed_at ? "  destroyed " + format_rfc3339(*key.destroyed_at) : "");
  }
  for (const auto& column : reply.columns)
    text += "\n" + column.table + "." + column.column + "  " + std::to_string(column.waiting) + " waiting";
  return text;
}

Task<> show_sealing(sdk::Client& client, const Target& target, const Arguments&) {
  CO_TRY(const auto reply, co_await client.call(privacy::sealing, Empty()));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Task<> rotate_key(sdk::Client& client, const Target& target, const Arguments&) {
  CO_TRY(const auto reply, co_await client.call(privacy::rotate_key, Empty()));
  print(target, reply, describe(reply));
  co_return Result<void>{};
}

Result<crypto::KeySet> read_keys(const Arguments& arguments) {
  TRY(const auto text, read_input(arguments.keys));
  return crypto::KeySet::parse(text);
}

Result<AttestedDocument> read_attested(const std::string& path) {
  TRY(const auto value, read_json(path));
  return json::from_value<AttestedDocument>(value);
}

/// Without the platform: the signature, the chain, and what it proves.
Result<void> verify_receipt(const Target& target, const Arguments& arguments) {
  TRY(const auto keys, read_keys(arguments));
  TRY(const auto receipt, read_attested(arguments.file));
  TRY(const auto signed_by, crypto::verify_attestation(keys, crypto::attested::consent_receipt,
                                                       receipt.document, receipt.signature));
  TRY(const auto proven, consent::check_receipt(receipt.document));
  if (!arguments.earlier.empty()) {
    TRY(const auto earlier, read_attested(arguments.earlier));
    TRY(const auto also, crypto::verify_attestation(keys, crypto::attested::consent_receipt, earlier.document,
                                                    earlier.signature));
    (void)also;
    CHECK(consent::check_continues(receipt.document, earlier.document));
  }
  auto text = "the receipt holds: consent " + proven.consent_id.str() + " of " +
              (proven.user_id ? proven.user_id->str() : "somebody") + " to " + proven.mate_id.str() +
              " was " + word(proven.status) + " at " + format_rfc3339(signed_by.at) + "\n  " +
              joined(proven.scopes) + " for " + joined(proven.purposes);
  if (proven.expires_at) text += ", until " + format_rfc3339(*proven.expires_at);
  text += "\n  " + std::to_string(proven.changes) + " changes, head " + proven.head + "\n  signed by key " +
          signed_by.kid;
  print(target, proven, text);
  return {};
}

Result<void> verify_export(const Target& target, const Arguments& arguments) {
  TRY(const auto keys, read_keys(arguments));
  TRY(const auto value, read_json(arguments.file));
  TRY(const auto pages, json::from_value<std::vector<AttestedDocument>>(value));
  std::string previous;
  std::size_t rows = 0;
  bool complete = false;
  for (const auto& page : pages) {
    TRY(const auto signed_by,
        crypto::verify_attestation(keys, crypto::attested::personal_data, page.document, page.signature));
    const auto& document = page.document.as_object();
    if (complete || document.at("previous").as_string() != previous)
      return fail(errors::not_attested, "a page is missing, or in another place");
    previous = page.signature;
    rows += document.at("rows").as_array().size();
    complete = document.at("last").as_bool();
  }
  if (!complete) return fail(errors::not_attested, "the last page is missing");
  print(target, bj::value{{"pages", pages.size()}, {"rows", rows}},
        "the export holds: " + std::to_string(rows) + " rows in " + std::to_string(pages.size()) + " pages");
  return {};
}

}  // namespace

void add_privacy_commands(CLI::App& app, Target& target, int& exit_code) {
  const auto given = std::make_shared<Arguments>();
  using Body = Task<> (*)(sdk::Client&, const Target&, const Arguments&);
  using Offline = Result<void> (*)(const Target&, const Arguments&);
  const auto command = [&target](CLI::App* of, const std::string& name, const std::string& description) {
    auto* made = of->add_subcommand(name, description);
    made->add_flag("--json", target.json, "machine-readable output");
    return made;
  };
  const auto verb = [&, given](CLI::App* of, const std::string& name, const std::string& description,
                               Body body) {
    auto* made = command(of, name, description);
    made->callback([&target, &exit_code, given, body] {
      exit_code = with_client(
          target, [&target, given, body](sdk::Client& client) { return body(client, target, *given); });
    });
    return made;
  };
  const auto offline = [&, given](CLI::App* of, const std::string& name, const std::string& description,
                                  Offline body) {
    auto* made = command(of, name, description);
    made->callback([&target, &exit_code, given, body] {
      const auto done = body(target, *given);
      exit_code = done ? 0 : report(done.error());
    });
    made->add_option("file", given->file)->required();
    made->add_option("--keys", given->keys, "JWKS, as 'intra365 privacy keys' printed it")->required();
    return made;
  };
  const auto whose = [given](CLI::App* of) {
    of->add_option("--user", given->user, "as a privacy officer: whose; yourself when absent");
  };

  auto* consent = app.get_subcommand("consent");
  auto* receipt =
      consent->add_subcommand("receipt", "Signed proof of a consent, verified without the platform");
  receipt->require_subcommand(1);
  auto* one = verb(receipt, "show", "A receipt: what was agreed, and every change since", show_receipt);
  one->add_option("consent", given->consent)->required();
  one->add_option("--out", given->out, "a file, instead of standard output");
  offline(receipt, "verify", "Does it prove what it says? Needs no platform", verify_receipt)
      ->add_option("--earlier", given->earlier, "an earlier receipt that this one must continue");
  verb(consent, "evidence", "What the person was shown, and from where they answered", show_evidence)
      ->add_option("consent", given->consent)
      ->required();

  auto* privacy =
      app.add_subcommand("privacy", "People's rights over their data; as the person or a privacy officer");
  privacy->require_subcommand(1);
  verb(privacy, "sealing", "As the operator: data keys, and what the newest has not sealed yet",
       show_sealing);
  verb(privacy, "rotate-key", "As the operator: make a new data key and seal everything with it", rotate_key);
  verb(privacy, "keys", "Public keys that verify receipts and exports", show_keys);
  one = verb(privacy, "export", "Everything that is kept about a person, signed", export_);
  whose(one);
  one->add_option("--out", given->out, "a file, instead of standard output");
  offline(privacy, "verify", "Is an export complete and what was signed? Needs no platform", verify_export);
  one = verb(privacy, "erase", "Erase a person for good", erase);
  whose(one);
  one->add_option("--confirm", given->confirm, "the person's id once more")->required();
  one->add_option("--again", given->again,
                  "as a privacy officer: request of an earlier erasure, whose pseudonym stays");
  verb(privacy, "status", "How far an erasure has got", status)
      ->add_option("request", given->request)
      ->required();
  one = verb(privacy, "request", "Ask for something that somebody has to see to", submit);
  whose(one);
  one->add_option("kind", given->kind, "rectification, objection or opt_out")->required();
  one->add_option("text", given->text, "what it is about")->required();
  one = verb(privacy, "requests", "Requests and their deadlines, the most urgent first", list);
  whose(one);
  one->add_flag("--open", given->open, "only those that wait");
  one = verb(privacy, "resolve", "As a privacy officer: say what became of a request", resolve);
  one->add_option("request", given->request)->required();
  one->add_option("resolution", given->text)->required();
  one->add_flag("--refuse", given->refuse, "it is refused, for this reason");
  one = verb(privacy, "correct", "Correct a profile", correct);
  whose(one);
  one->add_option("--name", given->name, "display name; empty removes it");
  one->add_option("--country", given->country, "two letters; empty removes it");
  one = verb(privacy, "access", "Who used whose data, for what and under which consent", access);
  one->add_option("--user", given->user,
                  "as a privacy officer: whose; everybody's when absent, otherwise your own");
  one->add_option("--mate", given->mate, "used by this Mate, or with it");
  one->add_option("--since", given->since, "RFC 3339; 30 days before the end when absent");
  one->add_option("--until", given->until, "RFC 3339; now when absent");
}

}  // namespace intra365::cli
