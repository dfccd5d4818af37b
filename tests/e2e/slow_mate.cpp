// A Mate whose handlers behave badly: one waits and asks nothing, one does not stop when it is cancelled, one
// watches part of its work by itself. With SLOW_MATE_INCOMPLETE=1 it declares half of what an action uses.
#include <cstdlib>
#include <iostream>

#include "sdk/cpp/mate.hpp"
#include "sdk/cpp/settings.hpp"

using namespace intra365;

namespace {

using namespace std::chrono_literals;

constexpr auto kData = R"("data")";

Task<std::string> wait(const sdk::Call&) {
  co_await sleep_for(1h);
  co_return kData;
}

Task<std::string> stubborn(const sdk::Call& call) {
  co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
  co_await sleep_for(std::chrono::milliseconds(std::atoi(call.payload.c_str())));
  co_return kData;
}

Task<> some_work() {
  co_await sleep_for(1ms);
  co_return Result<void>{};
}

Task<> nested(const sdk::Call& call, streaming::Writer& answer) {
  CO_CHECK(co_await sdk::while_permitted(call.use, some_work()));
  CO_CHECK(co_await answer.send("part"));
  co_await sleep_for(1h);
  co_return Result<void>{};
}

Task<> run(asio::io_context&, sdk::ClientOptions options) {
  registry::Mate description;
  description.name = "Slow Mate";
  description.type = "service";
  description.version = "1.0.0";
  description.capabilities = {Capability::trusted("slowness")};
  sdk::Mate mate(co_await asio::this_coro::executor, std::move(options), std::move(description));
  const auto capability = Capability::trusted("slowness");
  sdk::DataUse use{{Scope::trusted("image.analyze")}, Purpose::trusted("ai-assistance")};
  mate.on(capability, "wait", use, wait);
  mate.on(capability, "stubborn", use, stubborn);
  mate.on(capability, "nested", use, nested);
  if (std::getenv("SLOW_MATE_INCOMPLETE") != nullptr) use.purpose.reset();
  mate.on(capability, "half", use, wait);
  CO_CHECK(co_await mate.start(std::chrono::steady_clock::now() + 15s));
  std::cout << "ready" << std::endl;
  co_await sleep_for(1h);
  co_return Result<void>{};
}

}  // namespace

int main() {
  return sdk::run_program("slow-mate", run);
}
