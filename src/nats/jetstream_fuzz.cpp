// Replies of the JetStream API and ack subjects, as a hostile server could send them.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "nats/jetstream_wire.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace wire = intra365::nats::wire;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)wire::parse_ack_subject(text);
  (void)wire::decode_publish_ack(text);
  if (const auto reply = wire::decode_reply(text)) {
    (void)wire::decode_state(*reply);
    (void)wire::decode_stored(*reply);
    auto config = *reply;
    (void)wire::overlay(config, wire::encode(intra365::nats::StreamConfig{}));
  }
  return 0;
}
