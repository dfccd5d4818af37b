#include "cli/consent_upkeep_commands.hpp"

#include <CLI/CLI.hpp>
#include <charconv>
#include <iostream>

#include "cli/arguments.hpp"
#include "cli/output.hpp"
#include "contract/errors.hpp"
#include "contract/operations/consent_upkeep.hpp"
#include "contract/subjects.hpp"
#include "nats/queue.hpp"

namespace intra365::cli {
namespace {

struct Arguments {
  std::string consent, user, mate, before;
  bool open = false;
};

Task<> propagation(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::PropagationRequest request;
  CO_TRY(request.consent_id, ConsentId::parse(arguments.consent));
  CO_TRY(const auto reply, co_await client.call(consent::propagation, std::move(request)));
  if (target.json) {
    std::cout << json::encode(reply) << std::endl;
    co_return Result<void>{};
  }
  std::cout << reply.consent_id.str() << "  " << word(reply.status) << "  changed "
            << format_rfc3339(reply.changed_at)
            << (reply.told_at ? "  told " + format_rfc3339(*reply.told_at) : "  not told")
            << (reply.complete ? "  complete" : "  under way") << "\n";
  for (const auto& point : reply.points) {
    std::cout << "  " << reply.mate_id.str() << "/" << point.instance << "  " << word(point.state);
    if (point.after_us) std::cout << " after " << static_cast<double>(*point.after_us) / 1000 << " ms";
    if (!point.heard_at) std::cout << ", gone since";
    std::cout << "\n";
  }
  if (reply.points.empty()) std::cout << "  no process of " << reply.mate_id.str() << " was there\n";
  std::cout << std::flush;
  co_return Result<void>{};
}

std::string describe(const consent::Renewal& one) {
  auto text = one.consent_id.str() + "  " + one.user_id.str() + " -> " + one.mate_id.str() + "  ends " +
              format_rfc3339(one.expires_at);
  if (one.asked_at) text += "  asked by " + one.asked_by.value_or("");
  if (one.reminded_at) text += "  reminded " + format_rfc3339(*one.reminded_at);
  if (one.renewed_at) text += "  renewed " + format_rfc3339(*one.renewed_at);
  if (one.lapsed_at) text += "  lapsed " + format_rfc3339(*one.lapsed_at);
  return text;
}

Task<> renewals(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::RenewalsRequest request;
  CO_TRY(request.user_id, given_id<UserId>(arguments.user));
  CO_TRY(request.mate_id, given_id<MateId>(arguments.mate));
  if (arguments.open) request.open = true;
  consent::RenewalsReply all;
  do {
    auto page = request;
    CO_TRY(auto reply, co_await client.call(consent::renewals, std::move(page)));
    for (auto& one : reply.renewals) all.renewals.push_back(std::move(one));
    request.cursor = std::move(reply.next_cursor);
  } while (request.cursor);
  if (target.json) std::cout << json::encode(all) << "\n";
  if (!target.json) {
    for (const auto& one : all.renewals) std::cout << describe(one) << "\n";
  }
  std::cout << std::flush;
  co_return Result<void>{};
}

Task<> ask_renewal(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::AskRenewalRequest request;
  CO_TRY(request.consent_id, ConsentId::parse(arguments.consent));
  CO_TRY(const auto reply, co_await client.call(consent::ask_renewal, std::move(request)));
  std::cout << (target.json ? json::encode(reply) : describe(reply)) << std::endl;
  co_return Result<void>{};
}

Task<> reconcile(sdk::Client& client, const Target& target, const Arguments&) {
  sdk::CallOptions options;
  options.timeout = std::chrono::seconds(30);
  CO_TRY(const auto reply, co_await client.call(consent::reconcile, Empty(), std::move(options)));
  if (target.json)
    std::cout << json::encode(reply) << std::endl;
  else
    std::cout << reply.checked << " checked, put right: " << reply.missing << " missing, " << reply.altered
              << " altered, " << reply.unknown << " unknown"
              << (reply.complete ? "" : "; there was no time for all") << " (" << reply.took_ms << " ms)"
              << std::endl;
  co_return Result<void>{};
}

/// What a person hears about one of their consents, as far as it is printed.
struct Event {
  struct Data {
    std::string consent_id, mate_id;
    std::optional<std::string> expires_at, asked_by;
  };
  std::string type;
  Timestamp time;
  Data data;
};
BOOST_DESCRIBE_STRUCT(Event::Data, (), (consent_id, mate_id, expires_at, asked_by))
BOOST_DESCRIBE_STRUCT(Event, (), (type, time, data))

std::string describe(const Event& one) {
  auto text = format_rfc3339(one.time) + "  " + one.type.substr(one.type.rfind('.') + 1) + "  " +
              one.data.consent_id + "  " + one.data.mate_id;
  if (one.data.asked_by) text += "  asked by " + *one.data.asked_by;
  if (one.data.expires_at) text += "  ends " + *one.data.expires_at;
  return text;
}

/// Until it is interrupted.
Task<> watch(sdk::Client& client, const Target& target, const Arguments&) {
  if (!client.is_user()) co_return fail(errors::bad_value, "only people have consents of their own to watch");
  nats::MessageQueue heard(client.connection(), 1000);
  CO_CHECK(heard.subscribe(subjects::person_events(client.id(), "consent")));
  while (true) {
    CO_TRY(const auto message, co_await heard.next());
    CO_TRY(const auto event, json::decode<Event>(message.payload(), json::Unknown::ignore));
    std::cout << (target.json ? std::string(message.payload()) : describe(event)) << std::endl;
  }
}

/// `7d`, `12h`, `30m`, `90s` or plain seconds.
Result<int> read_span(std::string_view text) {
  int number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  const int factor = unit.empty() || unit == "s" ? 1
                     : unit == "m"               ? 60
                     : unit == "h"               ? 3600
                     : unit == "d"               ? 86400
                                                 : 0;
  if (error != std::errc{} || factor == 0 || number < 1 || number > 7'776'000 / factor)
    return fail(intra365::errors::bad_value,
                "'" + std::string(text) + "': such as 7d, 12h, 30m or 90s, at most 90 days");
  return number * factor;
}

Task<> show_reminders(sdk::Client& client, const Target& target, const Arguments& arguments) {
  consent::Reminders reply;
  if (arguments.before.empty()) {
    CO_TRY(reply, co_await client.call(consent::reminders, Empty()));
  } else {
    consent::Reminders request;
    std::string_view rest = arguments.before == "never" ? std::string_view() : arguments.before;
    while (!rest.empty()) {
      const auto one = rest.substr(0, rest.find(','));
      rest.remove_prefix(std::min(rest.size(), one.size() + 1));
      CO_TRY(const auto span, read_span(one));
      request.seconds_before.push_back(span);
    }
    CO_TRY(reply, co_await client.call(consent::set_reminders, std::move(request)));
  }
  if (target.json) {
    std::cout << json::encode(reply) << std::endl;
    co_return Result<void>{};
  }
  std::cout << (reply.seconds_before.empty() ? "never" : "before the end, in seconds:");
  for (const auto before : reply.seconds_before) std::cout << " " << before;
  std::cout << std::endl;
  co_return Result<void>{};
}

}  // namespace

void add_consent_upkeep_commands(CLI::App& app, Target& target, int& exit_code) {
  const auto given = std::make_shared<Arguments>();
  auto* noun = app.get_subcommand("consent");
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
  auto* one = verb("propagation", "How far the latest change of a consent has got", propagation);
  one->add_option("consent,--consent", given->consent)->required();
  one = verb("renewals", "Consents that are about to end or have ended", renewals);
  one->add_option("--user", given->user);
  one->add_option("--mate", given->mate);
  one->add_flag("--open", given->open, "only those that wait for the person");
  one = verb("ask-renewal", "As a Mate: ask the person to let a consent hold for longer", ask_renewal);
  one->add_option("consent,--consent", given->consent)->required();
  verb("watch", "Listen to what happens to your consents: reminders, ends, every change", watch);
  verb("reconcile", "As the operator: compare the consent cache with the truth and put it right", reconcile);
  one = verb("reminders", "Show how long before the end people are reminded; as the operator, change it",
             show_reminders);
  one->add_option("before", given->before, "such as 7d,1d; or never");
}

}  // namespace intra365::cli
