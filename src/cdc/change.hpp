// A change of one row as others see it: JSON that names table, key, values, and its place in the log. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "postgres/pgoutput.hpp"

namespace intra365::cdc {

/// Where a change stands: the commit of its transaction, and its place inside. An LSN alone names no row.
struct Position {
  postgres::Lsn commit;
  std::uint64_t index = 0;  ///< from 1
  auto operator<=>(const Position&) const = default;
};

/// What all changes of one transaction share.
struct Transaction {
  postgres::Lsn commit;
  Timestamp committed_at;
  std::uint32_t xid = 0;
};

/// One row to tell of. Views live as long as the message they came from.
struct RowChange {
  std::string_view operation;  ///< insert, update, delete
  const postgres::pgoutput::Relation* relation = nullptr;
  const postgres::pgoutput::Tuple* row = nullptr;  ///< null for a delete
  const postgres::pgoutput::Tuple* old =
      nullptr;  ///< where the log has it; only its key unless `old_is_whole`
  bool old_is_whole = false;
  std::string_view part;  ///< of the change, where it is told in two: behind the number in its id
};

/// `{"id","operation","schema","table","key":{…},"row":{…},"old":{…},"unchanged":[…],"committedAt","xid"}`.
/// Values follow their type: numbers, booleans, JSON and text arrays as such, numeric and everything else as
/// text, times as RFC 3339. `id` is `<source>.<commit in hex>.<index><part>`, the same each time the log is
/// read.
void append_json(std::string& out, std::string_view source, const Transaction& transaction,
                 std::uint64_t index, const RowChange& change);

/// `<source>.<commit in hex>.<index><part>`
std::string change_id(std::string_view source, const Transaction& transaction, std::uint64_t index,
                      std::string_view part = {});

/// `"schema":…,"table":…,"columns":[{"name","type","modifier","key"}]`, types by their number in pg_type.
/// Equal tables give equal texts.
std::string describe_json(const postgres::pgoutput::Relation& relation);

/// The text of a row's key, for routing: equal keys give equal texts. Empty where the table has none.
std::string key_text(const postgres::pgoutput::Relation& relation, const postgres::pgoutput::Tuple& row);

}  // namespace intra365::cdc
