// A named SQL statement with typed parameters and rows. The name appears in metrics and errors.
#pragma once
#include <boost/json/value.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "postgres/errors.hpp"

struct pg_result;  // libpq's PGresult

namespace intra365::postgres {

/// A statement, declared as data beside the store that uses it:
/// `constexpr Query consent_find{"consent_find", "select … where user_id = $1"};`
struct Query {
  std::string_view name;
  std::string_view sql;
};

/// Bytes for a bytea parameter or column.
struct Bytes {
  std::string value;
};

/// Parameters in text form, as PostgreSQL reads them; nullopt is NULL. `bind(a, b, …)` converts bool,
/// integers, double, strings, Name<Tag>, Timestamp, Bytes, described enums (by name), boost::json::value
/// (jsonb), std::optional of these, and std::vector of these (an array such as text[]).
/// Call it qualified, `postgres::bind(…)`: an unqualified call would also find std::bind.
class Parameters {
 public:
  void add(std::nullptr_t) { values_.emplace_back(std::nullopt); }
  void add_text(std::string text) { values_.emplace_back(std::move(text)); }
  std::span<const std::optional<std::string>> values() const { return values_; }

 private:
  std::vector<std::optional<std::string>> values_;
};
template <class... Args>
Parameters bind(const Args&... args);

/// A result set that owns its values in text form: it keeps libpq's own buffer, so nothing is copied until
/// a value is converted. Cheap to copy (shared, immutable).
class Rows {
 public:
  Rows() = default;
  std::size_t size() const { return row_count_; }
  bool empty() const { return row_count_ == 0; }
  std::size_t columns() const { return column_count_; }
  std::string_view column_name(std::size_t column) const;
  /// nullopt is NULL. The view lives as long as any copy of these rows.
  std::optional<std::string_view> value(std::size_t row, std::size_t column) const;
  /// Rows changed by insert, update or delete; for a select, rows returned.
  std::uint64_t affected() const;

  /// Every row as a described struct: columns are matched to members by name (a trailing underscore of the
  /// member is not part of it); a missing column or a NULL in a member that is not optional is
  /// `postgres.bad_row`. Columns without a member are ignored. Member types as in `bind`.
  template <class Row>
  Result<std::vector<Row>> as() const;
  /// The only row, nullopt when there is none; more than one is `postgres.bad_row`.
  template <class Row>
  Result<std::optional<Row>> as_optional() const;

 private:
  friend struct RowsBuilder;
  explicit Rows(pg_result* result);  ///< takes ownership
  std::shared_ptr<const pg_result> result_;
  std::size_t row_count_ = 0;
  std::size_t column_count_ = 0;
};

/// One statement of a pipeline.
struct Statement {
  Query query;
  Parameters parameters;
};

}  // namespace intra365::postgres

#include "postgres/convert.hpp"
