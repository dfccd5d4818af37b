// The templates behind json.hpp: one reader and one writer for every kind of member.
#pragma once
#include <boost/json/array.hpp>
#include <boost/json/monotonic_resource.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/mp11.hpp>
#include <charconv>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <type_traits>
#include <vector>

#include "base/ids.hpp"
#include "base/time.hpp"

namespace intra365::json::detail {

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};
template <class T>
struct is_map : std::false_type {};
template <class T>
struct is_map<std::map<std::string, T>> : std::true_type {};
template <class T>
struct is_name : std::false_type {};
template <class Tag>
struct is_name<Name<Tag>> : std::true_type {};

template <class T>
concept Described = boost::describe::has_describe_members<T>::value && !std::is_union_v<T>;
template <class T>
concept DescribedEnum = std::is_enum_v<T> && boost::describe::has_describe_enumerators<T>::value;

template <class T>
using Members =
    boost::describe::describe_members<T, boost::describe::mod_any_access | boost::describe::mod_inherited>;

/// A member's wire name, computed by the compiler.
template <class D>
struct WireName {
  static constexpr std::size_t length = [] {
    std::size_t n = 0;
    for (const char* c = D::name; *c != '\0'; ++c) n += *c != '_';
    return n;
  }();
  static constexpr std::array<char, length + 1> text = [] {
    std::array<char, length + 1> out{};
    std::size_t n = 0;
    bool upper = false;
    for (const char* c = D::name; *c != '\0'; ++c) {
      if (*c == '_') {
        upper = n > 0;
        continue;
      }
      out[n++] = upper && *c >= 'a' && *c <= 'z' ? static_cast<char>(*c - 32) : *c;
      upper = false;
    }
    return out;
  }();
  static constexpr std::string_view value{text.data(), length};
};

/// `operator_` is written `operator`: C++ keywords need the underscore, the wire does not.
constexpr std::string_view enumerator_name(std::string_view name) {
  return name.ends_with('_') ? name.substr(0, name.size() - 1) : name;
}

template <class T>
constexpr bool may_be_absent(std::string_view snake_name) {
  if constexpr (requires { T::optional_fields; }) {
    for (const auto& field : T::optional_fields) {
      if (field == snake_name) return true;
    }
  }
  return false;
}
template <class M>
constexpr bool kind_may_be_absent = is_optional<M>::value || is_vector<M>::value || is_map<M>::value ||
                                    std::is_same_v<M, bj::value> || std::is_same_v<M, bool>;

/// Where in the document we are; only turned into text when something is wrong.
struct Path {
  const Path* parent = nullptr;
  std::string_view field = {};
  std::size_t index = 0;
  std::string text() const;
};

Failure wrong_type(const Path& path, std::string_view expected);
Failure at(const Path& path, Error error);

template <class T>
Result<void> read(const bj::value& value, T& out, Unknown unknown, const Path& path);

template <Described T>
Result<void> read_object(const bj::value& value, T& out, Unknown unknown, const Path& path) {
  const auto* object = value.if_object();
  if (object == nullptr) return wrong_type(path, "an object");
  std::size_t known = 0;
  Result<void> outcome;
  boost::mp11::mp_for_each<Members<T>>([&](auto member) {
    if (!outcome) return;
    using D = decltype(member);
    using M = std::remove_cvref_t<decltype(out.*D::pointer)>;
    const auto* found = object->if_contains(WireName<D>::value);
    const Path here{&path, WireName<D>::value};
    if (found == nullptr) {
      if (!kind_may_be_absent<M> && !may_be_absent<T>(D::name))
        outcome = fail(errors::missing_field, "'" + here.text() + "' is missing");
      return;
    }
    ++known;
    outcome = read(*found, out.*D::pointer, unknown, here);
  });
  if (!outcome || unknown == Unknown::ignore || known == object->size()) return outcome;
  for (const auto& item : *object) {
    bool is_known = false;
    boost::mp11::mp_for_each<Members<T>>(
        [&](auto member) { is_known = is_known || item.key() == WireName<decltype(member)>::value; });
    if (!is_known)
      return fail(
          errors::unknown_field,
          "'" + Path{&path, std::string_view(item.key()).substr(0, 64)}.text() + "' is not a known field");
  }
  return outcome;
}

template <class T>
Result<void> read_number(const bj::value& value, T& out, const Path& path) {
  if constexpr (std::is_floating_point_v<T>) {
    if (!value.is_number()) return wrong_type(path, "a number");
    out = value.is_double()  ? static_cast<T>(value.get_double())
          : value.is_int64() ? static_cast<T>(value.get_int64())
                             : static_cast<T>(value.get_uint64());
    return {};
  } else {
    if (value.is_int64() && std::in_range<T>(value.get_int64())) {
      out = static_cast<T>(value.get_int64());
      return {};
    }
    if (value.is_uint64() && std::in_range<T>(value.get_uint64())) {
      out = static_cast<T>(value.get_uint64());
      return {};
    }
    return wrong_type(path, "a whole number in range");
  }
}

template <DescribedEnum T>
Result<void> read_enum(const bj::value& value, T& out, const Path& path) {
  bool found = false;
  if (const auto* text = value.if_string()) {
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto enumerator) {
      if (std::string_view(*text) == enumerator_name(enumerator.name)) {
        out = enumerator.value;
        found = true;
      }
    });
  }
  if (found) return {};
  std::string expected("one of");
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>(
      [&](auto enumerator) { expected.append(" ").append(enumerator_name(enumerator.name)); });
  return wrong_type(path, expected);
}

template <class T>
Result<void> read(const bj::value& value, T& out, Unknown unknown, const Path& path) {
  if constexpr (std::is_same_v<T, bj::value>) {
    out = bj::value(value, bj::storage_ptr());  // a copy of its own: the decode tree goes
    return {};
  } else if constexpr (is_optional<T>::value) {
    if (value.is_null()) {
      out.reset();
      return {};
    }
    return read(value, out.emplace(), unknown, path);
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!value.is_bool()) return wrong_type(path, "true or false");
    out = value.get_bool();
    return {};
  } else if constexpr (std::is_arithmetic_v<T>) {
    return read_number(value, out, path);
  } else if constexpr (DescribedEnum<T>) {
    return read_enum(value, out, path);
  } else if constexpr (std::is_same_v<T, std::string>) {
    if (!value.is_string()) return wrong_type(path, "a string");
    out = std::string_view(value.get_string());
    return {};
  } else if constexpr (is_name<T>::value) {
    if (!value.is_string()) return wrong_type(path, "a string");
    auto name = T::parse(value.get_string());
    if (!name) return at(path, std::move(name).error());
    out = *std::move(name);
    return {};
  } else if constexpr (std::is_same_v<T, Timestamp>) {
    if (!value.is_string()) return wrong_type(path, "a time in RFC 3339");
    const auto time = parse_rfc3339(value.get_string());
    if (!time) return at(path, time.error());
    out = *time;
    return {};
  } else if constexpr (is_vector<T>::value) {
    const auto* array = value.if_array();
    if (array == nullptr) return wrong_type(path, "a list");
    out.clear();
    out.reserve(array->size());
    for (std::size_t i = 0; i < array->size(); ++i) {
      typename T::value_type element{};
      const Path here{&path, {}, i};
      CHECK(read((*array)[i], element, unknown, here));
      out.push_back(std::move(element));
    }
    return {};
  } else if constexpr (is_map<T>::value) {
    const auto* object = value.if_object();
    if (object == nullptr) return wrong_type(path, "an object");
    out.clear();
    for (const auto& item : *object) {
      const Path here{&path, item.key()};
      CHECK(read(item.value(), out[std::string(item.key())], unknown, here));
    }
    return {};
  } else {
    static_assert(Described<T>, "this member type has no JSON form");
    return read_object(value, out, unknown, path);
  }
}

/// Text in double quotes, with what JSON wants escaped.
void append_string(std::string& out, std::string_view text);
void append_double(std::string& out, double value);

template <class T>
void write(std::string& out, const T& value);

template <Described T>
void write_object(std::string& out, const T& value) {
  out.push_back('{');
  bool first = true;
  boost::mp11::mp_for_each<Members<T>>([&](auto member) {
    using D = decltype(member);
    const auto& field = value.*D::pointer;
    if constexpr (is_optional<std::remove_cvref_t<decltype(field)>>::value) {
      if (!field) return;
    }
    if (!first) out.push_back(',');
    first = false;
    out.push_back('"');
    out.append(WireName<D>::value);
    out.append("\":");
    write(out, field);
  });
  out.push_back('}');
}

template <class T>
void write(std::string& out, const T& value) {
  if constexpr (std::is_same_v<T, bj::value>) {
    out.append(bj::serialize(value));
  } else if constexpr (is_optional<T>::value) {
    if (value)
      write(out, *value);
    else
      out.append("null");
  } else if constexpr (std::is_same_v<T, bool>) {
    out.append(value ? "true" : "false");
  } else if constexpr (std::is_floating_point_v<T>) {
    append_double(out, value);
  } else if constexpr (std::is_integral_v<T>) {
    char digits[24];
    const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
    out.append(digits, end);
  } else if constexpr (DescribedEnum<T>) {
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto enumerator) {
      if (enumerator.value == value) append_string(out, enumerator_name(enumerator.name));
    });
  } else if constexpr (std::is_same_v<T, std::string>) {
    append_string(out, value);
  } else if constexpr (is_name<T>::value) {
    append_string(out, value.str());
  } else if constexpr (std::is_same_v<T, Timestamp>) {
    append_string(out, format_rfc3339(value));
  } else if constexpr (is_vector<T>::value) {
    out.push_back('[');
    for (std::size_t i = 0; i < value.size(); ++i) {
      if (i > 0) out.push_back(',');
      write(out, value[i]);
    }
    out.push_back(']');
  } else if constexpr (is_map<T>::value) {
    out.push_back('{');
    bool first = true;
    for (const auto& [key, element] : value) {
      if (!first) out.push_back(',');
      first = false;
      append_string(out, key);
      out.push_back(':');
      write(out, element);
    }
    out.push_back('}');
  } else {
    static_assert(Described<T>, "this member type has no JSON form");
    write_object(out, value);
  }
}

template <class T>
bj::value schema_of() {
  if constexpr (std::is_same_v<T, bj::value>) {
    return bj::object{};
  } else if constexpr (is_optional<T>::value) {
    return schema_of<typename T::value_type>();
  } else if constexpr (std::is_same_v<T, bool>) {
    return {{"type", "boolean"}};
  } else if constexpr (std::is_floating_point_v<T>) {
    return {{"type", "number"}};
  } else if constexpr (std::is_unsigned_v<T>) {
    return {{"type", "integer"}, {"minimum", 0}};
  } else if constexpr (std::is_integral_v<T>) {
    return {{"type", "integer"}};
  } else if constexpr (DescribedEnum<T>) {
    bj::array names;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>(
        [&](auto enumerator) { names.emplace_back(enumerator_name(enumerator.name)); });
    return {{"type", "string"}, {"enum", std::move(names)}};
  } else if constexpr (std::is_same_v<T, std::string>) {
    return {{"type", "string"}};
  } else if constexpr (is_name<T>::value) {
    const bool dotted = T::parse("a.b").has_value();
    return {{"type", "string"}, {"pattern", dotted ? "^[A-Za-z0-9_.:-]{1,128}$" : "^[A-Za-z0-9_-]{1,64}$"}};
  } else if constexpr (std::is_same_v<T, Timestamp>) {
    return {{"type", "string"}, {"format", "date-time"}};
  } else if constexpr (is_vector<T>::value) {
    return {{"type", "array"}, {"items", schema_of<typename T::value_type>()}};
  } else if constexpr (is_map<T>::value) {
    return {{"type", "object"}, {"additionalProperties", schema_of<typename T::mapped_type>()}};
  } else {
    bj::object properties;
    bj::array required;
    boost::mp11::mp_for_each<Members<T>>([&](auto member) {
      using D = decltype(member);
      using M = std::remove_cvref_t<decltype(std::declval<T&>().*D::pointer)>;
      properties[WireName<D>::value] = schema_of<M>();
      if (!kind_may_be_absent<M> && !may_be_absent<T>(D::name)) required.emplace_back(WireName<D>::value);
    });
    bj::object result{{"type", "object"}, {"properties", std::move(properties)}};
    if (!required.empty()) result["required"] = std::move(required);
    result["additionalProperties"] = false;
    return result;
  }
}

/// Parses into the given storage; the rules are those of `parse`.
Result<bj::value> parse_into(std::string_view text, bj::storage_ptr storage);

}  // namespace intra365::json::detail

namespace intra365::json {

template <class T>
Result<T> from_value(const bj::value& value, Unknown unknown) {
  T out{};
  CHECK(detail::read(value, out, unknown, detail::Path{}));
  return out;
}

template <class T>
Result<T> decode(std::string_view text, Unknown unknown) {
  // Most bodies fit the buffer: the tree then costs no allocation.
  unsigned char buffer[4096];
  bj::monotonic_resource resource(buffer, sizeof buffer);
  TRY(const auto value, detail::parse_into(text, &resource));
  return from_value<T>(value, unknown);
}

template <class T>
void append(std::string& out, const T& value) {
  detail::write(out, value);
}

template <class T>
std::string encode(const T& value) {
  std::string out;
  out.reserve(256);
  detail::write(out, value);
  return out;
}

template <class T>
bj::value to_value(const T& value) {
  auto parsed = parse(encode(value));
  return parsed ? *std::move(parsed) : bj::value();
}

template <class T>
bj::value schema() {
  return detail::schema_of<T>();
}

}  // namespace intra365::json
