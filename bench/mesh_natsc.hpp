// The peer: the C client of the distribution, used asynchronously by hand with its best options.
#pragma once
#include <string>
#include <vector>

namespace intra365::bench {

struct NatscLogin {
  std::string url, user, pass, inbox_prefix;
};

/// False where the library is not there; then the functions below must not be called.
bool has_natsc();
/// Answers every request on `subject` with its payload, for ever.
[[noreturn]] void natsc_respond(const NatscLogin& login, const std::string& subject);
/// Keeps `in_flight` requests under way for `seconds`; returns each one's latency in microseconds.
std::vector<float> natsc_request(const NatscLogin& login, const std::string& subject, int in_flight,
                                 double seconds, const std::string& payload);

}  // namespace intra365::bench
