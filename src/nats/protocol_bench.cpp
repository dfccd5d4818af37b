// Throughput of the sans-I/O parts: what one core can parse, encode and look up.
#include <benchmark/benchmark.h>

#include "nats/protocol.hpp"
#include "nats/requests.hpp"

namespace {

using namespace intra365::nats;

/// 64 messages in one read, as they come when many requests are in flight.
void parse_messages(benchmark::State& state) {
  const std::string payload(static_cast<std::size_t>(state.range(0)), 'x');
  std::string input;
  for (int i = 0; i < 64; ++i) {
    input += "MSG _INBOX.4pRcUNB2gGkLMWdvS3TqYa.0000000" + std::to_string(100 + i) + " 1 " +
             std::to_string(payload.size()) + "\r\n" + payload + "\r\n";
  }
  protocol::Parser parser(protocol::Limits{});
  for (auto _ : state) {
    std::string_view rest = input;
    protocol::Event event;
    std::size_t used = 0;
    while (parser.next(rest, event, used) == protocol::Step::event) {
      benchmark::DoNotOptimize(event.message.payload.data());
      rest.remove_prefix(used);
    }
  }
  state.SetItemsProcessed(state.iterations() * 64);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(input.size()));
}
BENCHMARK(parse_messages)->Arg(16)->Arg(128)->Arg(4096);

void parse_messages_with_headers(benchmark::State& state) {
  HeaderBlock headers;
  headers.add("Authorization", std::string(300, 'a'));
  headers.add("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
  headers.add("Intra365-Deadline-Ms", "250");
  Buffer encoded;
  const std::string payload(128, 'x');
  std::string input;
  for (int i = 0; i < 64; ++i) {
    input += "HMSG intra365.consent.verify 12 _INBOX.a.b " + std::to_string(headers.text().size()) + " " +
             std::to_string(headers.text().size() + payload.size()) + "\r\n" + std::string(headers.text()) +
             payload + "\r\n";
  }
  protocol::Parser parser(protocol::Limits{});
  for (auto _ : state) {
    std::string_view rest = input;
    protocol::Event event;
    std::size_t used = 0;
    while (parser.next(rest, event, used) == protocol::Step::event) {
      benchmark::DoNotOptimize(event.message.headers.get("traceparent").data());
      rest.remove_prefix(used);
    }
  }
  state.SetItemsProcessed(state.iterations() * 64);
}
BENCHMARK(parse_messages_with_headers);

void encode_publish(benchmark::State& state) {
  Buffer out;
  const std::string payload(128, 'x');
  for (auto _ : state) {
    protocol::append_publish(out, "intra365.consent.verify", "_INBOX.4pRcUNB2gGkLMWdvS3TqYa.0000000100", {},
                             payload);
    if (out.size() > (48u << 10)) out.clear();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(encode_publish);

void check_subject(benchmark::State& state) {
  for (auto _ : state)
    benchmark::DoNotOptimize(is_publish_subject("intra365.mate.weather-bot-17.forecast.daily"));
}
BENCHMARK(check_subject);

/// A request that is answered: add with a deadline, find, release, with `range` others in flight.
void request_table(benchmark::State& state) {
  RequestTable table(1u << 17, std::chrono::steady_clock::now());
  std::vector<RequestTable::Token> tokens;
  auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(2);
  const auto add = [&] {
    RequestTable::Done done = [](auto) {};
    deadline += std::chrono::microseconds(5);
    return *table.add("intra365.consent.verify", deadline, done);
  };
  for (int i = 0; i < state.range(0); ++i) tokens.push_back(add());
  std::size_t at = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.take(tokens[at]));
    tokens[at] = add();
    at = (at + 1) % tokens.size();
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(request_table)->Arg(1)->Arg(64)->Arg(4096);

}  // namespace
