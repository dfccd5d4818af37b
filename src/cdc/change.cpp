#include "cdc/change.hpp"

#include <algorithm>
#include <charconv>

#include "json/json.hpp"
#include "postgres/convert.hpp"

namespace intra365::cdc {
namespace {

using postgres::pgoutput::Relation;
using postgres::pgoutput::Tuple;
using postgres::pgoutput::Value;
using postgres::pgoutput::ValueKind;

/// Types of pg_type.h that have a form of their own in JSON.
enum Oid : std::uint32_t {
  kBool = 16,
  kInt8 = 20,
  kInt2 = 21,
  kInt4 = 23,
  kJson = 114,
  kFloat4 = 700,
  kFloat8 = 701,
  kTextArray = 1009,
  kVarcharArray = 1015,
  kTimestamp = 1114,
  kTimestampTz = 1184,
  kJsonb = 3802,
};

using json::detail::append_string;

void append_hex(std::string& out, std::uint64_t number) {
  char digits[16];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number, 16).ptr);
}

void append_number(std::string& out, std::uint64_t number) {
  char digits[20];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

void append_array(std::string& out, std::string_view text) {
  std::vector<std::optional<std::string>> elements;
  if (!postgres::detail::read_array(text, elements)) return append_string(out, text);
  out += '[';
  for (std::size_t i = 0; i < elements.size(); ++i) {
    if (i != 0) out += ',';
    if (elements[i])
      append_string(out, *elements[i]);
    else
      out += "null";
  }
  out += ']';
}

/// NaN and the infinities have no number in JSON.
bool is_json_number(std::string_view text) {
  return !text.empty() && (text.back() >= '0' && text.back() <= '9') &&
         (text.front() == '-' || (text.front() >= '0' && text.front() <= '9'));
}

void append_value(std::string& out, std::uint32_t type, const Value& value) {
  if (value.kind != ValueKind::text) {
    out += "null";
    return;
  }
  const auto text = value.bytes;
  switch (type) {
    case kBool:
      out += text == "t" ? "true" : "false";
      return;
    case kInt2:
    case kInt4:
    case kInt8:
      out += text;
      return;
    case kFloat4:
    case kFloat8:
      if (!is_json_number(text)) break;
      out += text;
      return;
    case kJson:
    case kJsonb:
      out += text;
      return;
    case kTextArray:
    case kVarcharArray:
      return append_array(out, text);
    case kTimestamp:
    case kTimestampTz: {
      Timestamp time;
      if (!postgres::detail::read_timestamp(text, time)) break;  // infinity
      return append_string(out, format_rfc3339(time));
    }
    default:
      break;
  }
  append_string(out, text);
}

enum class Which { all, key };

void append_columns(std::string& out, const Relation& relation, const Tuple& row, Which which) {
  out += '{';
  bool first = true;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const auto& column = relation.columns[i];
    if (row[i].kind == ValueKind::unchanged || (which == Which::key && !column.is_key)) continue;
    if (!first) out += ',';
    first = false;
    append_string(out, column.name);
    out += ':';
    append_value(out, column.type_oid, row[i]);
  }
  out += '}';
}

void append_unchanged(std::string& out, const Relation& relation, const Tuple& row) {
  bool first = true;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (row[i].kind != ValueKind::unchanged) continue;
    out += first ? ",\"unchanged\":[" : ",";
    first = false;
    append_string(out, relation.columns[i].name);
  }
  if (!first) out += ']';
}

void append_id(std::string& out, std::string_view source, const Transaction& transaction, std::uint64_t index,
               std::string_view part) {
  out.append(source).append(".");
  append_hex(out, transaction.commit.value);
  out += '.';
  append_number(out, index);
  out += part;
}

}  // namespace

std::string change_id(std::string_view source, const Transaction& transaction, std::uint64_t index,
                      std::string_view part) {
  std::string id;
  append_id(id, source, transaction, index, part);
  return id;
}

void append_json(std::string& out, std::string_view source, const Transaction& transaction,
                 std::uint64_t index, const RowChange& change) {
  const auto& relation = *change.relation;
  out += "{\"id\":\"";
  append_id(out, source, transaction, index, change.part);
  out.append("\",\"operation\":\"").append(change.operation).append("\",\"schema\":");
  append_string(out, relation.schema);
  out += ",\"table\":";
  append_string(out, relation.table);
  out += ",\"key\":";
  append_columns(out, relation, change.row ? *change.row : *change.old, Which::key);
  if (change.row) {
    out += ",\"row\":";
    append_columns(out, relation, *change.row, Which::all);
    append_unchanged(out, relation, *change.row);
  }
  if (change.old) {
    out += ",\"old\":";
    append_columns(out, relation, *change.old, change.old_is_whole ? Which::all : Which::key);
  }
  out += ",\"committedAt\":";
  append_string(out, format_rfc3339(transaction.committed_at));
  out += ",\"xid\":";
  append_number(out, transaction.xid);
  out += '}';
}

std::string describe_json(const Relation& relation) {
  std::string out = "\"schema\":";
  append_string(out, relation.schema);
  out += ",\"table\":";
  append_string(out, relation.table);
  out += ",\"columns\":[";
  for (const auto& column : relation.columns) {
    if (out.back() != '[') out += ',';
    out += "{\"name\":";
    append_string(out, column.name);
    out.append(",\"type\":").append(std::to_string(column.type_oid));
    out.append(",\"modifier\":").append(std::to_string(column.type_modifier));
    out.append(",\"key\":").append(column.is_key ? "true" : "false").append("}");
  }
  return out + "]";
}

std::string key_text(const Relation& relation, const Tuple& row) {
  std::string text;
  for (std::size_t i = 0; i < row.size(); ++i) {
    if (!relation.columns[i].is_key) continue;
    append_number(text, row[i].bytes.size());  // so that ("a","bc") and ("ab","c") differ
    text.append(":").append(row[i].bytes);
  }
  return text;
}

}  // namespace intra365::cdc
