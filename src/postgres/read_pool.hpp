// Reads that may be answered by a standby, each with a bound on how old the answer may be. A standby answers
// only when it is known to have replayed everything that was committed before that time; otherwise the
// primary does. So a bound holds whatever a standby believes of itself: one that lost its primary is not
// fresh for ever, nor is one that followed a primary which another standby has replaced.
#pragma once
#include <deque>

#include "postgres/lsn.hpp"
#include "postgres/pool.hpp"

namespace intra365::postgres {

/// What a read must have seen.
struct Freshness {
  // Constructors, because g++ 12 destroys aggregate temporaries twice in a co_await expression.
  Freshness() = default;
  explicit Freshness(std::chrono::milliseconds at_most) : at_most(at_most) {}
  Freshness(std::chrono::milliseconds at_most, Lsn at_least) : at_most(at_most), at_least(at_least) {}
  std::chrono::milliseconds at_most{1000};  ///< every transaction that was committed so long ago
  Lsn at_least;                             ///< and everything up to here: one's own writes
};

struct ReadPoolOptions {
  std::vector<PoolOptions> standbys;
  std::chrono::milliseconds poll{50};  ///< how often the primary is asked where its log ends
};

/// Owned by one shard, on its thread only, like the primary's pool, which outlives it.
class ReadPool {
 public:
  ReadPool(asio::any_io_executor executor, Pool& primary, ReadPoolOptions options);
  ~ReadPool();

  /// Keeps the log's ends of the last while; runs until it is cancelled. Without it the primary answers.
  Task<> watch();
  /// A statement that only reads. One round trip on a standby; two where it turns out to be behind.
  Task<Rows> query(Scope scope, Query query, Parameters parameters, Freshness freshness, SteadyTime deadline);
  /// Where the primary's log ends: everything committed until now is before it.
  Task<Lsn> position(SteadyTime deadline);

  struct Counts {
    std::uint64_t standby = 0, primary = 0;
    std::uint64_t behind = 0;  ///< of the primary's: a standby was asked first and was too old
  };
  const Counts& counts() const { return counts_; }
  /// Where the log must be replayed to for `freshness`; nullopt when nobody can know.
  std::optional<Lsn> needed(const Freshness& freshness, SteadyTime now) const;

 private:
  /// The primary's log ended there at some time after `at`.
  struct Sample {
    SteadyTime at;
    Lsn end;
  };
  struct Standby {
    std::unique_ptr<Pool> pool;
    SteadyTime tired_until{};  ///< it was behind, or away: not asked again before
    int failures = 0;          ///< in a row: each doubles the time it is left alone
    std::string timeline;      ///< that it is known to follow; positions of different ones cannot be compared
  };
  Standby* next_standby(SteadyTime now);
  Task<std::optional<Rows>> ask(Standby& standby, Scope scope, Query query, Parameters parameters, Lsn needed,
                                SteadyTime deadline);

  Pool& primary_;
  ReadPoolOptions options_;
  std::vector<Standby> standbys_;
  std::size_t turn_ = 0;
  std::deque<Sample> samples_;  ///< oldest first, of `timeline_`
  std::string timeline_;        ///< of the primary
  Counts counts_;
};

}  // namespace intra365::postgres
