// From what a transaction told (`intra365.tell_event`) to the CloudEvent that the tenant hears. Pure.
#pragma once
#include <optional>
#include <string>

#include "cdc/batcher.hpp"

namespace intra365::services::events {

inline constexpr std::string_view message_prefix = "intra365.event";

/// Nullopt for a message that is none of ours, or not well-formed: it is left out and counted, because
/// nothing behind it may wait for it.
std::optional<nats::Outgoing> to_event(const postgres::pgoutput::Logical& message,
                                       const cdc::Transaction& transaction, const std::string& id);

}  // namespace intra365::services::events
