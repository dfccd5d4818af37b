// The mission's Mate-to-Mate communication, played on a running platform with the sample Mates: each step is
// checked, not narrated.
#pragma once
#include <functional>
#include <ostream>
#include <string>

#include "sdk/cpp/client.hpp"

namespace intra365::cli {

struct ConversationOptions {
  std::string nats_url, ca_file, admin_key;
  std::string picture;  ///< bytes of a PNG or JPEG
  /// Starts the image analyzer as a program of its own, with this API key.
  std::function<Task<>(std::string api_key)> start_analyzer;
};

/// Plays all steps and prints each with what was checked and how long it took. Fails with
/// `conversation.failed` naming the first step that did not hold.
Task<> play_conversation(asio::any_io_executor executor, ConversationOptions options, std::ostream& out);

}  // namespace intra365::cli
