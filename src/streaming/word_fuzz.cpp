// Headers of a streamed answer, as anybody may send them.
#include <cstdlib>

#include "streaming/pace.hpp"
#include "streaming/word.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace intra365;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const nats::HeaderView headers(bytes);
  const auto word = streaming::read_word(headers);
  if (word.kind == streaming::Word::Kind::part && word.number == 0) std::abort();
  static_cast<void>(streaming::read_control(headers));
  const auto window = streaming::read_window(headers);
  if (window && (*window < 1 || *window > streaming::kMaxWindow)) std::abort();
  return 0;
}
