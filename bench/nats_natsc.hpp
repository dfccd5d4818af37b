// The peer for `bench nats` beyond request/reply: the C client of the distribution.
#pragma once
#include <cstdint>
#include <string>

namespace intra365::bench {

/// Publishes `count` messages of `size` bytes as fast as they go; returns when the server has them.
void natsc_publish(const std::string& url, const std::string& subject, std::uint64_t count, std::size_t size);
/// Returns when `count` messages have arrived; writes one byte to `ready_fd` once it listens.
void natsc_receive(const std::string& url, const std::string& subject, std::uint64_t count, int ready_fd);
/// Pulls `count` messages through an ephemeral pull consumer, a thousand at a time, without acknowledging.
void natsc_consume(const std::string& url, const std::string& stream, const std::string& consumer,
                   std::uint64_t count);

}  // namespace intra365::bench
