// From what a transaction told (`intra365.tell_event`) to the CloudEvent that the tenant hears. Pure.
#pragma once
#include <optional>
#include <string>

#include "cdc/batcher.hpp"

namespace intra365::services::events {

inline constexpr std::string_view message_prefix = "intra365.event";

/// Nullopt for a message that is none of ours. Fails with `cdc.bad_event` for one that is not well-formed: it
/// is set aside and counted, because nothing behind it may wait for it.
Result<std::optional<nats::Outgoing>> to_event(const postgres::pgoutput::Logical& message,
                                               const cdc::Transaction& transaction, const std::string& id);

}  // namespace intra365::services::events
