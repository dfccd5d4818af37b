// How an object store's messages read (ADR-20). Pure functions; internal to this folder.
#pragma once
#include <string>
#include <string_view>

#include "nats/object_store.hpp"

namespace intra365::nats::wire {

std::string object_stream(std::string_view bucket);
std::string chunk_subject(std::string_view bucket, std::string_view nuid);
std::string meta_subject(std::string_view bucket, std::string_view name);
std::string meta_subjects(std::string_view bucket);  ///< of all objects

bool is_object_name(std::string_view name);

std::string encode_object(const ObjectInfo& info);
/// Tolerates what other clients write: absent members, `metadata: null`, padded digests.
Result<ObjectInfo> decode_object(std::string_view payload);
std::string object_digest(std::string_view sha256);
/// The raw SHA-256 of `SHA-256=<base64url>`, with or without padding; empty when it is none.
std::string read_digest(std::string_view digest);

}  // namespace intra365::nats::wire
