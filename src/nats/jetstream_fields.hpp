// The JSON fields of JetStream's objects, each named once: the same table encodes and decodes. Strict out,
// tolerant in: a field of another type than expected counts as absent. Internal to this folder.
#pragma once
#include <boost/json.hpp>
#include <concepts>

#include "nats/jetstream_types.hpp"

namespace intra365::nats::wire {

namespace json = boost::json;

template <class Visitor>
void fields(Visitor& visit, Placement& value) {
  visit.optional("cluster", value.cluster);
  visit.optional("tags", value.tags);
  visit.optional("preferred", value.preferred);
}
template <class Visitor>
void fields(Visitor& visit, SubjectTransform& value) {
  visit.always("src", value.src);
  visit.always("dest", value.dest);
}
template <class Visitor>
void fields(Visitor& visit, ExternalStream& value) {
  visit.always("api", value.api);
  visit.optional("deliver", value.deliver);
}
template <class Visitor>
void fields(Visitor& visit, StreamSource& value) {
  visit.always("name", value.name);
  visit.optional("opt_start_seq", value.opt_start_seq);
  visit.optional("opt_start_time", value.opt_start_time);
  visit.optional("filter_subject", value.filter_subject);
  visit.optional("subject_transforms", value.subject_transforms);
  visit.optional("external", value.external);
}
template <class Visitor>
void fields(Visitor& visit, Republish& value) {
  visit.optional("src", value.src);
  visit.always("dest", value.dest);
  visit.optional("headers_only", value.headers_only);
}
template <class Visitor>
void fields(Visitor& visit, ConsumerLimits& value) {
  visit.optional("inactive_threshold", value.inactive_threshold);
  visit.optional("max_ack_pending", value.max_ack_pending);
}

/// What every server since 2.10 knows is always named, so that an update sets it back; younger fields, and
/// those that are an operator's to choose, only when they are asked for.
template <class Visitor>
void fields(Visitor& visit, StreamConfig& value) {
  visit.always("name", value.name);
  visit.always("description", value.description);
  visit.always("subjects", value.subjects);
  visit.always("retention", value.retention);
  visit.always("storage", value.storage);
  visit.always("discard", value.discard);
  visit.always("max_msgs_per_subject", value.max_msgs_per_subject);
  visit.optional("max_bytes", value.max_bytes);
  visit.optional("max_msgs", value.max_msgs);
  visit.always("max_age", value.max_age);
  visit.always("duplicate_window", value.duplicate_window);
  visit.optional("num_replicas", value.num_replicas);
  visit.always("allow_direct", value.allow_direct);
  visit.always("allow_rollup_hdrs", value.allow_rollup_hdrs);
  visit.always("deny_delete", value.deny_delete);
  visit.limit("max_msg_size", value.max_msg_size);
  visit.limit("max_consumers", value.max_consumers);
  visit.optional("discard_new_per_subject", value.discard_new_per_subject);
  visit.optional("no_ack", value.no_ack);
  visit.optional("sealed", value.sealed);
  visit.optional("deny_purge", value.deny_purge);
  visit.optional("mirror_direct", value.mirror_direct);
  visit.optional("compression", value.compression);
  visit.optional("first_seq", value.first_seq);
  visit.optional("placement", value.placement);
  visit.optional("mirror", value.mirror);
  visit.optional("sources", value.sources);
  visit.optional("subject_transform", value.subject_transform);
  visit.optional("republish", value.republish);
  visit.optional("consumer_limits", value.consumer_limits);
  visit.optional("metadata", value.metadata);
  visit.optional("allow_msg_ttl", value.allow_msg_ttl);
  visit.optional("subject_delete_marker_ttl", value.subject_delete_marker_ttl);
  visit.optional("allow_msg_counter", value.allow_msg_counter);
  visit.optional("allow_atomic", value.allow_atomic);
  visit.optional("allow_msg_schedules", value.allow_msg_schedules);
  visit.optional("allow_batched", value.allow_batched);
  visit.optional("persist_mode", value.persist_mode);
}

template <class Visitor>
void fields(Visitor& visit, ConsumerConfig& value) {
  visit.optional("name", value.name);
  visit.optional("durable_name", value.durable_name);
  visit.optional("description", value.description);
  visit.always("deliver_policy", value.deliver_policy);
  visit.optional("opt_start_seq", value.opt_start_seq);
  visit.optional("opt_start_time", value.opt_start_time);
  visit.optional("filter_subjects", value.filter_subjects);
  visit.always("ack_policy", value.ack_policy);
  visit.optional("ack_wait", value.ack_wait);
  visit.always("max_deliver", value.max_deliver);
  visit.optional("backoff", value.backoff);
  visit.optional("max_ack_pending", value.max_ack_pending);
  visit.optional("replay_policy", value.replay_policy);
  visit.optional("headers_only", value.headers_only);
  visit.optional("mem_storage", value.mem_storage);
  visit.optional("max_waiting", value.max_waiting);
  visit.optional("max_batch", value.max_batch);
  visit.optional("max_bytes", value.max_bytes);
  visit.optional("max_expires", value.max_expires);
  visit.optional("num_replicas", value.num_replicas);
  visit.optional("inactive_threshold", value.inactive_threshold);
  visit.optional("metadata", value.metadata);
  visit.optional("pause_until", value.pause_until);
  visit.optional("priority_groups", value.priority_groups);
  visit.optional("priority_policy", value.priority_policy);
  visit.optional("priority_timeout", value.priority_timeout);
  visit.optional("deliver_subject", value.deliver_subject);
  visit.optional("deliver_group", value.deliver_group);
  visit.optional("rate_limit_bps", value.rate_limit_bps);
  visit.optional("sample_freq", value.sample_freq);
  visit.optional("flow_control", value.flow_control);
  visit.optional("idle_heartbeat", value.idle_heartbeat);
}

template <class Visitor>
void fields(Visitor& visit, StreamState& value) {
  visit.always("messages", value.messages);
  visit.always("bytes", value.bytes);
  visit.always("first_seq", value.first_seq);
  visit.always("last_seq", value.last_seq);
  visit.always("first_ts", value.first_ts);
  visit.always("last_ts", value.last_ts);
  visit.always("consumer_count", value.consumer_count);
  visit.always("num_subjects", value.num_subjects);
  visit.always("num_deleted", value.num_deleted);
}
template <class Visitor>
void fields(Visitor& visit, ClusterInfo::Replica& value) {
  visit.always("name", value.name);
  visit.always("current", value.current);
  visit.always("offline", value.offline);
  visit.always("active", value.active);
  visit.always("lag", value.lag);
}
template <class Visitor>
void fields(Visitor& visit, ClusterInfo& value) {
  visit.always("name", value.name);
  visit.always("leader", value.leader);
  visit.always("replicas", value.replicas);
}
template <class Visitor>
void fields(Visitor& visit, ConsumerInfo::Position& value) {
  visit.always("consumer_seq", value.consumer_seq);
  visit.always("stream_seq", value.stream_seq);
}
template <class Visitor>
void fields(Visitor& visit, ConsumerInfo::PriorityGroup& value) {
  visit.always("group", value.group);
  visit.always("pinned_client_id", value.pinned_client_id);
}
template <class Visitor>
void fields(Visitor& visit, ConsumerInfo& value) {
  visit.always("stream_name", value.stream_name);
  visit.always("name", value.name);
  visit.always("created", value.created);
  visit.always("config", value.config);
  visit.always("delivered", value.delivered);
  visit.always("ack_floor", value.ack_floor);
  visit.always("num_ack_pending", value.num_ack_pending);
  visit.always("num_redelivered", value.num_redelivered);
  visit.always("num_waiting", value.num_waiting);
  visit.always("num_pending", value.num_pending);
  visit.always("paused", value.paused);
  visit.always("push_bound", value.push_bound);
  visit.always("pause_remaining", value.pause_remaining);
  visit.always("priority_groups", value.priority_groups);
  visit.always("cluster", value.cluster);
}
template <class Visitor>
void fields(Visitor& visit, AccountInfo::Limits& value) {
  visit.always("max_memory", value.max_memory);
  visit.always("max_storage", value.max_storage);
  visit.always("max_streams", value.max_streams);
  visit.always("max_consumers", value.max_consumers);
}
template <class Visitor>
void fields(Visitor& visit, AccountInfo& value) {
  visit.always("memory", value.memory);
  visit.always("storage", value.storage);
  visit.always("streams", value.streams);
  visit.always("consumers", value.consumers);
  visit.always("limits", value.limits);
  visit.always("domain", value.domain);
}

/// Reads what is there and leaves the rest as it is.
struct Decoder {
  const json::object& from;

  void always(std::string_view name, auto& value) { optional(name, value); }
  void limit(std::string_view name, std::int64_t& value) { optional(name, value); }
  void optional(std::string_view name, auto& value) {
    if (const auto* found = from.if_contains(name)) read(*found, value);
  }

  static void read(const json::value& from, std::string& to) {
    if (const auto* string = from.if_string()) to.assign(string->data(), string->size());
  }
  static void read(const json::value& from, bool& to) {
    if (const auto* flag = from.if_bool()) to = *flag;
  }
  template <std::signed_integral Number>
  static void read(const json::value& from, Number& to) {
    if (const auto* number = from.if_int64(); number && std::in_range<Number>(*number))
      to = static_cast<Number>(*number);
  }
  static void read(const json::value& from, std::uint64_t& to) {
    if (const auto* number = from.if_uint64()) to = *number;
    if (const auto* number = from.if_int64(); number && *number >= 0)
      to = static_cast<std::uint64_t>(*number);
  }
  static void read(const json::value& from, std::chrono::nanoseconds& to) {
    if (const auto* number = from.if_int64()) to = std::chrono::nanoseconds(*number);
  }
  template <class Text>
  static void read(const json::value& from, std::map<std::string, Text>& to) {
    const auto* object = from.if_object();
    if (!object) return;
    for (const auto& [name, value] : *object) {
      Text text{};
      read(value, text);
      to.emplace(std::string(name), std::move(text));
    }
  }
  template <class T>
  static void read(const json::value& from, std::vector<T>& to) {
    const auto* array = from.if_array();
    if (!array) return;
    for (const auto& element : *array) read(element, to.emplace_back());
  }
  template <class T>
  static void read(const json::value& from, std::optional<T>& to) {
    if (from.is_object()) read(from, to.emplace());
  }
  template <std::signed_integral Number>
  static void read(const json::value& from, std::optional<Number>& to) {
    if (const auto* number = from.if_int64(); number && std::in_range<Number>(*number))
      to = static_cast<Number>(*number);
  }
  template <class T>
  requires requires(Decoder& decoder, T& value) { fields(decoder, value); }
  static void read(const json::value& from, T& to) {
    if (const auto* object = from.if_object()) {
      Decoder decoder{*object};
      fields(decoder, to);
    }
  }
};

/// Writes what `always` names, and of the rest what is not its default.
struct Encoder {
  json::object& to;

  void always(std::string_view name, const auto& value) { to[name] = write(value); }
  void limit(std::string_view name, std::int64_t value) {
    if (value > 0) to[name] = value;
  }
  void optional(std::string_view name, const auto& value) {
    if (value != std::remove_cvref_t<decltype(value)>{}) to[name] = write(value);
  }
  template <class T>
  void optional(std::string_view name, const std::optional<T>& value) {
    if (value) to[name] = write(*value);
  }
  template <class T>
  void optional(std::string_view name, const std::vector<T>& value) {
    if (!value.empty()) to[name] = write(value);
  }

  static json::value write(const std::string& value) { return json::value(value); }
  static json::value write(bool value) { return value; }
  template <std::integral Number>
  static json::value write(Number value) {
    return value;
  }
  static json::value write(std::chrono::nanoseconds value) { return std::int64_t{value.count()}; }
  template <class Text>
  static json::value write(const std::map<std::string, Text>& value) {
    json::object object;
    for (const auto& [name, text] : value) object[name] = write(text);
    return object;
  }
  template <class T>
  static json::value write(const std::vector<T>& value) {
    json::array array;
    for (const auto& element : value) array.push_back(write(element));
    return array;
  }
  template <class T>
  requires requires(Encoder& encoder, T& value) { fields(encoder, value); }
  static json::value write(const T& value) {
    json::object object;
    Encoder encoder{object};
    fields(encoder, const_cast<T&>(value));  // the encoder takes every field by const reference
    return object;
  }
};

template <class T>
T decode_fields(const json::object& from) {
  T value{};
  Decoder decoder{from};
  fields(decoder, value);
  return value;
}
template <class T>
json::object encode_fields(const T& value) {
  json::object object;
  Encoder encoder{object};
  fields(encoder, const_cast<T&>(value));
  return object;
}

}  // namespace intra365::nats::wire
