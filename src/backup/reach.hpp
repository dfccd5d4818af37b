// Until when a copy of the log is complete, told from what the server says while the copy is behind it.
#pragma once
#include <algorithm>
#include <optional>

#include "base/time.hpp"
#include "postgres/lsn.hpp"

namespace intra365::backup {

/// A copy under steady load never holds all that the server has. But when it has come to where the server's
/// log ended a while ago, it holds what was committed until then.
class Reach {
 public:
  /// Between reading its position and its clock a server may be held up: nothing later is promised.
  static constexpr auto kClockSlack = std::chrono::seconds(1);

  /// The server's log ended at `end` when its clock said `time`; both stay as they are while it says nothing.
  void heard(postgres::Lsn end, Timestamp time) {
    if (time == Timestamp{}) return;
    last_ = Mark{end, time};
    if (!next_) next_ = last_;
  }

  /// Every commit that was acknowledged before is in the log up to `position`; nullopt while nothing is
  /// known.
  std::optional<Timestamp> until(postgres::Lsn position) {
    if (next_ && next_->end <= position) {
      const auto reached = last_->end <= position ? last_->time : next_->time;
      until_ = std::max(until_.value_or(reached - kClockSlack), reached - kClockSlack);
      next_ = last_->end <= position ? std::nullopt : last_;
    }
    return until_;
  }

 private:
  struct Mark {
    postgres::Lsn end;
    Timestamp time;
  };
  std::optional<Mark> next_;  ///< that the copy has not come to yet; stays until it has
  std::optional<Mark> last_;
  std::optional<Timestamp> until_;
};

}  // namespace intra365::backup
