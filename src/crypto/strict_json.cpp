// See strict_json.hpp. Boost.JSON keeps the last of two members with the same name without a word, so members
// are counted while the text is read and again in the value that came of it.
#include "crypto/strict_json.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/parse.hpp>

namespace intra365::crypto {
namespace {

namespace bj = boost::json;
using Code = bj::error_code;

/// Counts the members of all objects and lets everything else pass.
struct MemberCounter {
  static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
  static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
  std::size_t members = 0;

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_object_begin(Code&) { return true; }
  bool on_object_end(std::size_t count, Code&) {
    members += count;
    return true;
  }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t, Code&) { return true; }
  bool on_key_part(bj::string_view, std::size_t, Code&) { return true; }
  bool on_key(bj::string_view, std::size_t, Code&) { return true; }
  bool on_string_part(bj::string_view, std::size_t, Code&) { return true; }
  bool on_string(bj::string_view, std::size_t, Code&) { return true; }
  bool on_number_part(bj::string_view, Code&) { return true; }
  bool on_int64(std::int64_t, bj::string_view, Code&) { return true; }
  bool on_uint64(std::uint64_t, bj::string_view, Code&) { return true; }
  bool on_double(double, bj::string_view, Code&) { return true; }
  bool on_bool(bool, Code&) { return true; }
  bool on_null(Code&) { return true; }
  bool on_comment_part(bj::string_view, Code&) { return true; }
  bool on_comment(bj::string_view, Code&) { return true; }
};

std::size_t count_members(const bj::value& value) {
  std::size_t count = 0;
  if (const auto* object = value.if_object()) {
    count = object->size();
    for (const auto& member : *object) count += count_members(member.value());
  } else if (const auto* array = value.if_array()) {
    for (const auto& element : *array) count += count_members(element);
  }
  return count;
}

}  // namespace

std::optional<bj::object> parse_strict_object(std::string_view text) {
  Code error;
  bj::value value = bj::parse(text, error);
  if (error || !value.is_object()) return std::nullopt;
  bj::basic_parser<MemberCounter> counter{bj::parse_options{}};
  counter.write_some(false, text.data(), text.size(), error);
  if (error || counter.handler().members != count_members(value)) return std::nullopt;
  return std::move(value.get_object());
}

const bj::string* string_member(const bj::object& object, std::string_view name) {
  const bj::value* member = object.if_contains(name);
  return member != nullptr ? member->if_string() : nullptr;
}

const bj::object* object_member(const bj::object& object, std::string_view name) {
  const bj::value* member = object.if_contains(name);
  return member != nullptr ? member->if_object() : nullptr;
}

std::optional<std::int64_t> number_member(const bj::object& object, std::string_view name) {
  const bj::value* member = object.if_contains(name);
  if (member == nullptr || !member->is_int64()) return std::nullopt;
  const std::int64_t number = member->get_int64();
  if (number < 0 || number > (std::int64_t{1} << 53)) return std::nullopt;
  return number;
}

}  // namespace intra365::crypto
