#include "services/registry/bucket.hpp"

#include "json/json.hpp"
#include "platform/changes.hpp"

namespace intra365::services::registry {
namespace {

struct MateEntry {
  std::string mate_id, name, type, version, status;
  std::uint64_t revision = 0;
};
BOOST_DESCRIBE_STRUCT(MateEntry, (), (mate_id, name, type, version, status, revision))

struct CapabilityEntry {
  std::string mate_id, capability;
};
BOOST_DESCRIBE_STRUCT(CapabilityEntry, (), (mate_id, capability))

std::string text(const boost::json::object& columns, std::string_view name) {
  const auto* value = columns.if_contains(name);
  return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::uint64_t number(const boost::json::object& columns, std::string_view name) {
  const auto* value = columns.if_contains(name);
  return value && value->is_int64() ? static_cast<std::uint64_t>(value->get_int64()) : 0;
}

std::string mate_value(const boost::json::object& row) {
  return json::encode(MateEntry{text(row, "mate_id"), text(row, "name"), text(row, "type"),
                                text(row, "version"), text(row, "status"), number(row, "revision")});
}

}  // namespace

std::optional<nats::KeyValue::Change> entry_of(const cdc::ProjectedRow& row) {
  const auto mate = text(row.key, "mate_id");
  nats::KeyValue::Change entry;
  entry.key = text(row.key, "tenant_id") + "." + mate;
  if (row.table == "mates") {
    if (row.row) entry.value = mate_value(*row.row);
    return entry;
  }
  if (row.table != "mate_capabilities") return std::nullopt;
  const auto capability = text(row.key, "capability");
  entry.key += "." + capability;
  if (row.row) entry.value = json::encode(CapabilityEntry{mate, capability});
  return entry;
}

cdc::ProjectionOptions bucket_options() {
  cdc::ProjectionOptions options;
  options.bucket = "mates";
  options.slot = platform::changes_slot;
  options.tables = {"mates", "mate_capabilities"};
  options.entry_of = entry_of;
  return options;
}

}  // namespace intra365::services::registry
