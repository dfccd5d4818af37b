// Large results in pieces, through a cursor.
#include "postgres/pool.hpp"

namespace intra365::postgres {
namespace {

// The planner thinks of a cursor that only its first tenth is wanted.
constexpr Query kWanted{"stream_wanted", "set local cursor_tuple_fraction = 1"};

std::string fetch(std::size_t rows) {
  return "fetch forward " + std::to_string(rows) + " from stream";
}

}  // namespace

RowStream::RowStream(Transaction transaction, std::size_t rows, Rows first)
    : transaction_(std::move(transaction)), rows_per_piece_(rows), first_(std::move(first)), ended_(false) {}

Task<RowStream> Pool::stream(Scope scope, Query query, Parameters parameters, std::size_t rows_per_piece,
                             SteadyTime deadline) {
  rows_per_piece = std::max<std::size_t>(rows_per_piece, 1);
  CO_TRY(auto transaction, co_await begin(std::move(scope), deadline));
  const auto declared = "declare stream no scroll cursor for " + std::string(query.sql);
  const auto first = fetch(rows_per_piece);
  std::vector<Statement> opening;
  opening.push_back({kWanted, {}});
  opening.push_back({{query.name, declared}, std::move(parameters)});
  opening.push_back({{query.name, first}, {}});
  CO_TRY(auto rows, co_await transaction.pipeline(std::move(opening)));
  co_return RowStream(std::move(transaction), rows_per_piece, std::move(rows.back()));
}

Task<Rows> RowStream::next() {
  if (ended_) co_return Rows{};
  Rows rows;
  if (first_) {
    rows = *std::exchange(first_, std::nullopt);
  } else {
    const auto sql = fetch(rows_per_piece_);
    auto fetched = co_await transaction_.query(Query{"stream_next", sql}, Parameters{});
    ended_ = !fetched;
    if (!fetched) co_return fail(std::move(fetched).error());
    rows = *std::move(fetched);
  }
  // A piece that is not full is the last: the connection goes back now, not when somebody asks once more.
  if (rows.size() < rows_per_piece_) {
    ended_ = true;
    CO_CHECK(co_await transaction_.commit());
  }
  co_return rows;
}

}  // namespace intra365::postgres
