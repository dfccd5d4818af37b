// How a bucket's messages read: shared by KeyValue and WatchedBucket. Internal to this folder.
#pragma once
#include <string>
#include <string_view>

#include "nats/message.hpp"

namespace intra365::nats::wire {

inline std::string bucket_stream(std::string_view bucket) {
  return "KV_" + std::string(bucket);
}
inline std::string bucket_prefix(std::string_view bucket) {
  return "$KV." + std::string(bucket) + ".";
}

/// True for a message that says its key has no value any more: deleted, purged, or expired (ADR-48).
inline bool is_deletion(const HeaderView& headers) {
  if (headers.empty()) return false;
  const auto operation = headers.get("KV-Operation");
  return operation == "DEL" || operation == "PURGE" || headers.contains("Nats-Marker-Reason");
}

}  // namespace intra365::nats::wire
