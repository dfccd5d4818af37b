// A sample Mate: decodes a PNG or JPEG it is sent and answers size, colours and a perceptual hash, at once or
// band by band. Every call has passed the SDK's enforcement point before it gets here, and no part of an
// answer leaves once the person has taken their consent back.
#include <boost/asio/signal_set.hpp>
#include <cstdlib>
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

constexpr std::uint32_t kBands = 16;

/// Pictures this small take no time; with this setting one can watch a slow analysis.
std::chrono::milliseconds pause_between_bands() {
  const char* setting = std::getenv("IMAGE_ANALYZER_PAUSE_MS");
  return std::chrono::milliseconds(setting == nullptr ? 0 : std::atoi(setting));
}

/// A part for each band of rows, from the top, and at last the whole.
Task<> describe_image(const sdk::Call& call, streaming::Writer& answer) {
  CO_TRY(const auto picture, mates::decode_picture(call.payload));
  for (std::uint32_t band = 1; band <= kBands; ++band) {
    CO_CHECK(co_await answer.send(json::encode(mates::analyze_band(picture, band, kBands))));
    if (const auto pause = pause_between_bands(); pause.count() > 0) co_await sleep_for(pause);
  }
  co_return co_await answer.send(json::encode(mates::analyze(picture)));
}

/// A long job with one answer: it is stopped, wherever it waits, when it is not permitted any more.
Task<std::string> study_image(const sdk::Call& call) {
  CO_TRY(const auto picture, mates::decode_picture(call.payload));
  std::vector<mates::Band> bands;
  for (std::uint32_t band = 1; band <= kBands; ++band) {
    CO_CHECK(co_await call.still_permitted());
    bands.push_back(mates::analyze_band(picture, band, kBands));
    if (const auto pause = pause_between_bands(); pause.count() > 0) co_await sleep_for(pause);
  }
  co_return json::encode(bands);
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
  const auto capability = Capability::trusted("image-analysis");
  const sdk::DataUse use{{Scope::trusted("image.analyze")}, Purpose::trusted("ai-assistance")};
  mate.on(capability, "analyze-image", use, analyze_image);
  mate.on(capability, "describe-image", use, describe_image);
  mate.on(capability, "study-image", use, study_image);
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
