// Makes Rows from a PGresult; for this folder only.
#pragma once
#include <libpq-fe.h>

#include "postgres/query.hpp"

namespace intra365::postgres {

struct RowsBuilder {
  /// Takes ownership of `result`.
  static Rows take(PGresult* result) { return Rows(result); }
};

}  // namespace intra365::postgres
