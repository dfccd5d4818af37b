// Values of the Common Expression Language. A value is small and copied freely; texts, lists and maps stand
// elsewhere: in the arena of an evaluation, in the program's constants, or in a JSON document that is looked
// at where it stands.
#pragma once
#include <boost/json/value.hpp>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "cel/arena.hpp"

namespace intra365::cel {

enum class Kind : std::uint8_t {
  null,
  boolean,
  integer,
  unsigned_integer,
  real,
  string,
  bytes,
  list,
  map,
  timestamp,
  duration,
  type,
  optional,
  error,
};
/// The name of its type: `int`, `google.protobuf.Timestamp` …
std::string_view type_name(Kind kind);

/// Why an evaluation failed.
enum class Cause : std::uint8_t {
  no_such_overload,   ///< operands of types that the operation does not take
  no_such_key,        ///< a map without that key, or a document without that member
  no_such_attribute,  ///< a variable that nobody has given
  divide_by_zero,
  range,         ///< overflow, or an index or a time outside of what there is
  bad_argument,  ///< a text that cannot be read, an unknown time zone …
  limit,         ///< more steps or memory than allowed
};

struct Problem {
  Cause cause = Cause::no_such_overload;
  std::string_view message;
};

struct Value;
struct Entry;

struct Value {
  Kind kind = Kind::null;
  bool is_json = false;  ///< of a list or map: it stands in a JSON document
  std::uint32_t nanos = 0;
  union {
    bool boolean;
    std::int64_t integer;  ///< also seconds of a timestamp since 1970, nanoseconds of a duration
    std::uint64_t unsigned_integer;
    double real;
    const char* text;
    const Value* items;  ///< of a list; what an optional holds, none for an empty one
    const Entry* entries;
    const boost::json::array* json_array;
    const boost::json::object* json_object;
    const Problem* problem;
  };
  std::size_t size = 0;  ///< bytes of a text, elements of a list or map that is no JSON

  Value() : integer(0) {}
  static Value of(bool value);
  static Value of(std::int64_t value);
  static Value of(std::uint64_t value);
  static Value of(double value);
  static Value string(std::string_view text);
  static Value bytes(std::string_view text);
  static Value type(std::string_view name);
  static Value timestamp(std::int64_t seconds, std::uint32_t nanos);
  static Value duration(std::int64_t nanoseconds);
  static Value list(std::span<const Value> items);
  static Value map(std::span<const Entry> entries);
  static Value optional(const Value* held);
  static Value error(const Problem* problem);
  /// Views the document: it must outlive the value. Whole numbers are ints, other numbers doubles.
  static Value of(const boost::json::value& document);

  bool is_error() const { return kind == Kind::error; }
  bool is_number() const {
    return kind == Kind::integer || kind == Kind::unsigned_integer || kind == Kind::real;
  }
  bool is_true() const { return kind == Kind::boolean && boolean; }
  std::string_view view() const { return {text, size}; }  ///< of a string, bytes or type

  /// Of a list or map.
  std::size_t length() const;
  Value at(std::size_t index) const;                ///< of a list; in range
  Entry entry(std::size_t index) const;             ///< of a map; in range
  bool find(const Value& key, Value& found) const;  ///< in a map; numbers of equal value are the same key
};

struct Entry {
  Value key, value;
};

/// Equality as `==` has it: numbers by value across their types, lists and maps by content, other types
/// never.
bool equal(const Value& a, const Value& b);
/// -1, 0, 1; false where the two cannot be ordered (other types, NaN).
bool compare(const Value& a, const Value& b, int& order);
/// Equal values have equal hashes.
std::uint64_t hash_key(const Value& key);

/// As JSON has it: bytes in base64, times and durations as texts, unsigned numbers and whole ones as numbers.
boost::json::value to_json(const Value& value);
/// With its type beside it, losing nothing: {"type": "int", "value": "1"}.
boost::json::value to_typed_json(const Value& value);
/// Reads what `to_typed_json` writes. Texts are copied into the arena. Fails with an error value.
Value from_typed_json(const boost::json::value& document, Arena& arena, int depth = 0);

/// As people read it, and as `string()` writes numbers, times and durations.
std::string to_text(const Value& value);
std::string double_text(double value);
std::string duration_text(std::int64_t nanoseconds);
std::string timestamp_text(std::int64_t seconds, std::uint32_t nanos);

}  // namespace intra365::cel
