// Whatever a server sends, in whatever pieces: no crash, no read outside the buffer, and the same events as
// in one piece. The first byte decides the size of the pieces.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "nats/protocol.hpp"

namespace {

using namespace intra365::nats;

std::string play(std::string_view input, std::size_t piece) {
  protocol::Parser parser(protocol::Limits{.max_line_bytes = 256, .max_message_bytes = 4096});
  Buffer buffer;
  std::string seen;
  while (!input.empty()) {
    buffer.append(input.substr(0, piece));
    input.remove_prefix(std::min(piece, input.size()));
    protocol::Event event;
    std::size_t used = 0;
    auto step = protocol::Step::more;
    while ((step = parser.next(buffer.view(), event, used)) == protocol::Step::event) {
      seen += static_cast<char>('0' + static_cast<int>(event.kind));
      seen += event.text;
      if (event.kind == protocol::EventKind::message) {
        seen.append(event.message.subject).append(event.message.reply).append(event.message.payload);
        seen += std::to_string(event.message.headers.status() +
                               static_cast<int>(event.message.headers.all().size()));
      }
      event = {};
      buffer.consume(used);
    }
    if (step == protocol::Step::failed) return seen + "!";
  }
  return seen;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data + 1), size - 1);
  if (input.empty()) return 0;
  if (play(input, input.size()) != play(input, 1 + data[0] % 64)) std::abort();
  return 0;
}
