#include "nats/object_wire.hpp"

#include "crypto/encoding.hpp"
#include "nats/jetstream_fields.hpp"
#include "nats/jetstream_wire.hpp"

namespace intra365::nats::wire {
namespace {

constexpr std::size_t kMaxNameBytes = 1024;
constexpr std::string_view kDigestPrefix = "SHA-256=";

struct Options {
  std::optional<ObjectLink> link;
  std::uint64_t max_chunk_size = 0;
};

std::string padded_base64url(std::string_view bytes) {
  auto text = crypto::base64url(bytes);
  while (text.size() % 4 != 0) text += '=';
  return text;
}

}  // namespace

// Found by argument-dependent look-up, so they stand where their types do.
template <class Visitor>
void fields(Visitor& visit, ObjectInfo& value) {
  visit.always("name", value.meta.name);
  visit.optional("description", value.meta.description);
  visit.optional("headers", value.meta.headers);
  visit.optional("metadata", value.meta.metadata);
  visit.always("bucket", value.bucket);
  visit.always("nuid", value.nuid);
  visit.always("size", value.size);
  visit.always("chunks", value.chunks);
  visit.optional("digest", value.digest);
  visit.optional("deleted", value.deleted);
}
template <class Visitor>
void fields(Visitor& visit, ObjectLink& value) {
  visit.always("bucket", value.bucket);
  visit.optional("name", value.name);
}
template <class Visitor>
void fields(Visitor& visit, Options& value) {
  visit.optional("link", value.link);
  visit.optional("max_chunk_size", value.max_chunk_size);
}

std::string object_stream(std::string_view bucket) {
  return "OBJ_" + std::string(bucket);
}
std::string chunk_subject(std::string_view bucket, std::string_view nuid) {
  return "$O." + std::string(bucket) + ".C." + std::string(nuid);
}
std::string meta_subject(std::string_view bucket, std::string_view name) {
  // With padding, as the other clients write it.
  return "$O." + std::string(bucket) + ".M." + padded_base64url(name);
}
std::string meta_subjects(std::string_view bucket) {
  return "$O." + std::string(bucket) + ".M.>";
}

bool is_object_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes;
}

std::string encode_object(const ObjectInfo& info) {
  auto object = encode_fields(info);
  Options options;
  options.link = info.link;
  if (!info.link) options.max_chunk_size = info.meta.max_chunk_size;
  object["options"] = encode_fields(options);
  return json::serialize(object);
}

Result<ObjectInfo> decode_object(std::string_view payload) {
  boost::system::error_code error;
  const auto value = json::parse(payload, error);
  const auto* object = error ? nullptr : value.if_object();
  if (!object) return fail(errors::bad_reply);
  auto info = decode_fields<ObjectInfo>(*object);
  if (!is_object_name(info.meta.name)) return fail(errors::bad_reply);
  if (const auto* member = child(*object, "options")) {
    auto options = decode_fields<Options>(*member);
    info.link = std::move(options.link);
    if (options.max_chunk_size != 0) info.meta.max_chunk_size = options.max_chunk_size;
  }
  return info;
}

std::string object_digest(std::string_view sha256) {
  return std::string(kDigestPrefix) + padded_base64url(sha256);
}

std::string read_digest(std::string_view digest) {
  if (!digest.starts_with(kDigestPrefix)) return {};
  digest.remove_prefix(kDigestPrefix.size());
  while (digest.ends_with('=')) digest.remove_suffix(1);
  return crypto::decode_base64url(digest).value_or(std::string());
}

}  // namespace intra365::nats::wire
