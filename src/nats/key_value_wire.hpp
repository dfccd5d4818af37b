// How a bucket's messages read: shared by KeyValue and WatchedBucket. Internal to this folder.
#pragma once
#include <string>
#include <string_view>

#include "nats/key_value.hpp"
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

inline KeyOperation key_operation(const HeaderView& headers) {
  if (headers.empty()) return KeyOperation::put;
  const auto operation = headers.get("KV-Operation");
  if (operation == "DEL") return KeyOperation::remove;
  if (operation == "PURGE") return KeyOperation::purge;
  const auto reason = headers.get("Nats-Marker-Reason");
  if (reason.empty()) return KeyOperation::put;
  return reason == "Remove" ? KeyOperation::remove : KeyOperation::purge;
}

}  // namespace intra365::nats::wire
