// Replies of the JetStream API, ack subjects, advisories and object descriptions, as a hostile server could
// send them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "nats/jetstream_advisory.hpp"
#include "nats/jetstream_wire.hpp"
#include "nats/object_wire.hpp"
#include "nats/pull_status.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace nats = intra365::nats;
  namespace wire = nats::wire;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)wire::parse_ack_subject(text);
  (void)wire::decode_publish_ack(text);
  (void)nats::decode_advisory(text);
  (void)nats::judge_pull(409, text);
  if (const auto object = wire::decode_object(text)) {
    // What we understood, we can write and understand again.
    const auto again = wire::decode_object(wire::encode_object(*object));
    if (!again || again->size != object->size || again->meta.name != object->meta.name) std::abort();
    (void)wire::read_digest(object->digest);
  }
  if (const auto reply = wire::decode_reply(text)) {
    (void)wire::decode_stored(*reply);
    (void)wire::decode_account(*reply);
    (void)wire::encode(wire::decode_consumer_info(*reply).config);
    auto config = *reply;
    (void)wire::overlay(config, wire::encode(wire::decode_stream_info(*reply).config));
  }
  return 0;
}
