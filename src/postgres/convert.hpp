// C++ values <-> PostgreSQL's text format: what `bind` and `Rows::as` accept. A type that is not known here
// does not compile. Texts from the server are read strictly: what does not fit is `postgres.bad_row`.
#pragma once
#include <array>
#include <boost/describe.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <concepts>
#include <string>
#include <type_traits>
#include <vector>

#include "postgres/query.hpp"

namespace intra365::postgres::detail {

template <class T>
struct is_optional : std::false_type {};
template <class T>
struct is_optional<std::optional<T>> : std::true_type {};
template <class T>
struct is_vector : std::false_type {};
template <class T>
struct is_vector<std::vector<T>> : std::true_type {};
template <class T>
struct is_name : std::false_type {};
template <class Tag>
struct is_name<Name<Tag>> : std::true_type {};
template <class T>
inline constexpr bool unsupported = false;

/// `public_` in C++, where the word is reserved, is `public` in SQL.
constexpr std::string_view sql_name(std::string_view name) {
  if (name.ends_with('_')) name.remove_suffix(1);
  return name;
}

std::string write_double(double value);
std::string write_timestamp(Timestamp value);
std::string write_bytes(std::string_view value);
std::string write_json(const boost::json::value& value);
/// Appends `"text"` with quotes and backslashes escaped, as an array element.
void append_quoted(std::string& out, std::string_view text);

bool read_double(std::string_view text, double& value);
bool read_timestamp(std::string_view text, Timestamp& value);
bool read_bytes(std::string_view text, std::string& value);
bool read_json(std::string_view text, boost::json::value& value);
/// The elements of a one-dimensional array; nullopt is NULL.
bool read_array(std::string_view text, std::vector<std::optional<std::string>>& elements);

/// nullopt is NULL.
template <class T>
std::optional<std::string> write(const T& value) {
  if constexpr (is_optional<T>::value) {
    if (!value) return std::nullopt;
    return write(*value);
  } else if constexpr (std::same_as<T, std::nullptr_t> || std::same_as<T, std::nullopt_t>) {
    return std::nullopt;
  } else if constexpr (std::same_as<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_enum_v<T>) {
    const char* name = boost::describe::enum_to_string(value, nullptr);
    // A value outside the enumeration becomes an empty text, which no check or type in the database accepts.
    return std::string(sql_name(name ? name : ""));
  } else if constexpr (std::integral<T>) {
    std::array<char, 24> buffer;
    const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value).ptr;
    return std::string(buffer.data(), end);
  } else if constexpr (std::floating_point<T>) {
    return write_double(value);
  } else if constexpr (std::same_as<T, Timestamp>) {
    return write_timestamp(value);
  } else if constexpr (std::same_as<T, Bytes>) {
    return write_bytes(value.value);
  } else if constexpr (std::same_as<T, boost::json::value>) {
    return write_json(value);
  } else if constexpr (is_name<T>::value) {
    return value.str();
  } else if constexpr (is_vector<T>::value) {
    std::string out = "{";
    for (const auto& element : value) {
      if (out.size() > 1) out += ',';
      const auto text = write<typename T::value_type>(element);
      if (text) {
        append_quoted(out, *text);
      } else {
        out += "NULL";
      }
    }
    out += '}';
    return out;
  } else if constexpr (std::convertible_to<const T&, std::string_view>) {
    return std::string(std::string_view(value));
  } else {
    static_assert(unsupported<T>, "this type has no PostgreSQL text form; see bind");
  }
}

template <class T>
bool read_enum(std::string_view text, T& value) {
  bool found = false;
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>([&](auto enumerator) {
    if (sql_name(enumerator.name) != text) return;
    value = enumerator.value;
    found = true;
  });
  return found;
}

/// Reads one value into `value`; false when it does not fit. NULL fits only an optional.
template <class T>
bool read(std::optional<std::string_view> text, T& value) {
  if constexpr (is_optional<T>::value) {
    if (!text) {
      value.reset();
      return true;
    }
    return read(text, value.emplace());
  } else {
    if (!text) return false;
    if constexpr (std::same_as<T, bool>) {
      value = *text == "t";
      return value || *text == "f";
    } else if constexpr (std::is_enum_v<T>) {
      return read_enum(*text, value);
    } else if constexpr (std::integral<T>) {
      const char* end = text->data() + text->size();
      const auto parsed = std::from_chars(text->data(), end, value);
      return parsed.ec == std::errc{} && parsed.ptr == end;
    } else if constexpr (std::same_as<T, double>) {
      return read_double(*text, value);
    } else if constexpr (std::same_as<T, std::string>) {
      value.assign(*text);
      return true;
    } else if constexpr (std::same_as<T, Timestamp>) {
      return read_timestamp(*text, value);
    } else if constexpr (std::same_as<T, Bytes>) {
      return read_bytes(*text, value.value);
    } else if constexpr (std::same_as<T, boost::json::value>) {
      return read_json(*text, value);
    } else if constexpr (is_name<T>::value) {
      value = T::trusted(std::string(*text));
      return true;
    } else if constexpr (is_vector<T>::value) {
      std::vector<std::optional<std::string>> elements;
      if (!read_array(*text, elements)) return false;
      value.clear();
      value.reserve(elements.size());
      for (const auto& element : elements) {
        typename T::value_type item{};
        if (!read(element ? std::optional<std::string_view>(*element) : std::nullopt, item)) return false;
        value.push_back(std::move(item));
      }
      return true;
    } else {
      static_assert(unsupported<T>, "this type cannot be read from a column; see bind");
    }
  }
}

template <class Row>
using members =
    boost::describe::describe_members<Row, boost::describe::mod_public | boost::describe::mod_inherited>;

Failure missing_column(std::string_view name);
Failure bad_value(std::string_view column, std::size_t row, bool null);
/// The column of this name, or `columns()`.
std::size_t find_column(const Rows& rows, std::string_view name);

/// Which column fills each member, in the members' order.
template <class Row>
Result<std::array<std::size_t, boost::mp11::mp_size<members<Row>>::value>> match_columns(const Rows& rows) {
  std::array<std::size_t, boost::mp11::mp_size<members<Row>>::value> columns{};
  std::size_t next = 0;
  std::optional<std::string_view> missing;
  boost::mp11::mp_for_each<members<Row>>([&](auto member) {
    const auto column = find_column(rows, sql_name(member.name));
    if (column == rows.columns() && !missing) missing = sql_name(member.name);
    columns[next++] = column;
  });
  if (missing) return missing_column(*missing);
  return columns;
}

template <class Row, class Columns>
Result<void> read_row(const Rows& rows, std::size_t row, const Columns& columns, Row& out) {
  std::size_t next = 0;
  std::optional<std::size_t> bad;
  boost::mp11::mp_for_each<members<Row>>([&](auto member) {
    const std::size_t column = columns[next++];
    if (!bad && !read(rows.value(row, column), out.*member.pointer)) bad = column;
  });
  if (bad) return bad_value(rows.column_name(*bad), row, !rows.value(row, *bad));
  return {};
}

}  // namespace intra365::postgres::detail

namespace intra365::postgres {

template <class... Args>
Parameters bind(const Args&... args) {
  Parameters parameters;
  const auto add = [&](std::optional<std::string> text) {
    if (text) {
      parameters.add_text(std::move(*text));
    } else {
      parameters.add(nullptr);
    }
  };
  (add(detail::write(args)), ...);
  return parameters;
}

template <class Row>
Result<std::vector<Row>> Rows::as() const {
  std::vector<Row> out;
  if (columns() == 0) {
    if (!empty()) return fail(errors::bad_row, "the rows have no columns");
    return out;
  }
  TRY(const auto columns, detail::match_columns<Row>(*this));
  out.reserve(size());
  for (std::size_t row = 0; row < size(); ++row) {
    CHECK(detail::read_row(*this, row, columns, out.emplace_back()));
  }
  return out;
}

template <class Row>
Result<std::optional<Row>> Rows::as_optional() const {
  if (size() > 1) return fail(errors::bad_row, "more than one row came where at most one was expected");
  TRY(auto rows, as<Row>());
  if (rows.empty()) return std::nullopt;
  return std::optional<Row>(std::move(rows.front()));
}

}  // namespace intra365::postgres
