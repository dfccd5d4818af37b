// A sample Mate: decodes a PNG or JPEG it is sent and answers size, colours and a perceptual hash. Every call
// has passed the SDK's enforcement point before it gets here.
#include <boost/asio/signal_set.hpp>
#include <iostream>

#include "mates/image-analyzer/picture.hpp"
#include "sdk/cpp/mate.hpp"
#include "sdk/cpp/settings.hpp"

using namespace intra365;

namespace {

Task<std::string> analyze_image(const sdk::Call& call) {
  CO_TRY(const auto picture, mates::decode_picture(call.payload));
  co_return json::encode(mates::analyze(picture));
}

registry::Mate description() {
  registry::Mate mate;
  mate.name = "Image analyzer";
  mate.type = "service";
  mate.version = "1.0.0";
  mate.capabilities = {Capability::trusted("image-analysis")};
  mate.description = "Size, colours and perceptual hash of a picture";
  mate.tags = {"sample"};
  mate.data_access =
      registry::DataAccess{{Scope::trusted("image.analyze")}, {Purpose::trusted("ai-assistance")}, "none"};
  return mate;
}

Task<> run(asio::io_context& io, sdk::ClientOptions options) {
  sdk::Mate mate(io.get_executor(), std::move(options), description());
  mate.on(Capability::trusted("image-analysis"), "analyze-image",
          {{Scope::trusted("image.analyze")}, Purpose::trusted("ai-assistance")}, analyze_image);
  CO_CHECK(co_await mate.start(std::chrono::steady_clock::now() + std::chrono::seconds(15)));
  std::cout << "image-analyzer is " << mate.client().id() << " and answers" << std::endl;

  asio::signal_set stop(io, SIGINT, SIGTERM);
  co_await stop.async_wait(asio::use_awaitable);
  co_return co_await mate.stop(std::chrono::steady_clock::now() + std::chrono::seconds(5));
}

}  // namespace

int main() {
  return sdk::run_program("image-analyzer", run);
}
