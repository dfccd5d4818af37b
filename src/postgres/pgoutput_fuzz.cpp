// Feeds the decoder a sequence of messages, each with its length in front.
#include <cstdint>
#include <string_view>

#include "postgres/pgoutput.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  intra365::postgres::pgoutput::Decoder decoder;
  while (rest.size() >= 2) {
    const auto length = static_cast<std::size_t>(static_cast<unsigned char>(rest[0]) << 8 |
                                                 static_cast<unsigned char>(rest[1]));
    rest.remove_prefix(2);
    static_cast<void>(decoder.decode(rest.substr(0, length)));
    rest.remove_prefix(std::min(length, rest.size()));
  }
  return 0;
}
