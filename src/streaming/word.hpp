// What a message of a streamed answer says, read from its headers. Pure.
#pragma once
#include <cstdint>
#include <optional>

#include "nats/message.hpp"

namespace intra365::streaming {

/// From the Mate to the reader.
struct Word {
  enum class Kind {
    plain,      ///< not of a stream: an answer as always
    heartbeat,  ///< no part, but still there
    part,
    end,
    nobody,  ///< the server's: nobody listens to the Mate's subject
    broken,  ///< of a stream, and not to be understood
  };
  Kind kind = Kind::plain;
  std::uint64_t number = 0;  ///< of the part; of the last one, with the end
};
Word read_word(const nats::HeaderView& headers);

/// From the reader to the Mate.
struct Control {
  enum class Kind {
    nothing,  ///< not to be understood; still a sign of life
    taken,
    cancel,
    gone,  ///< the server's: the reader is not connected any more
  };
  Kind kind = Kind::nothing;
  std::uint64_t taken = 0;
};
Control read_control(const nats::HeaderView& headers);

/// How many parts a request lets be under way; none when it does not ask for parts, or not for 1 to 64.
std::optional<int> read_window(const nats::HeaderView& headers);

}  // namespace intra365::streaming
