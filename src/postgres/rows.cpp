// Rows over libpq's result buffer.
#include <libpq-fe.h>

#include <charconv>
#include <cstring>

#include "postgres/query.hpp"

namespace intra365::postgres {

Rows::Rows(pg_result* result)
    : result_(result, [](const pg_result* owned) { PQclear(const_cast<pg_result*>(owned)); }),
      row_count_(static_cast<std::size_t>(PQntuples(result))),
      column_count_(static_cast<std::size_t>(PQnfields(result))) {}

std::string_view Rows::column_name(std::size_t column) const {
  const char* name = result_ ? PQfname(result_.get(), static_cast<int>(column)) : nullptr;
  return name ? name : "";
}

std::optional<std::string_view> Rows::value(std::size_t row, std::size_t column) const {
  if (row >= row_count_ || column >= column_count_) return std::nullopt;
  const int r = static_cast<int>(row), c = static_cast<int>(column);
  if (PQgetisnull(result_.get(), r, c)) return std::nullopt;
  return std::string_view(PQgetvalue(result_.get(), r, c),
                          static_cast<std::size_t>(PQgetlength(result_.get(), r, c)));
}

std::uint64_t Rows::affected() const {
  if (!result_) return 0;
  const char* text = PQcmdTuples(const_cast<pg_result*>(result_.get()));
  std::uint64_t count = 0;
  std::from_chars(text, text + std::strlen(text), count);
  return count;
}

}  // namespace intra365::postgres
