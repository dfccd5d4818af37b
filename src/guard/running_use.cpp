#include "guard/running_use.hpp"

namespace intra365::guard {

Result<StillCovered> still_covered(const ConsentCopy& copy, const ConsentedUse& use, CopyIs copy_is,
                                   Instant now) {
  const auto answer = copy.index().decide_by(use.consent.str(), use.user.str(), use.mate.str(), use.scopes,
                                             use.purpose.str(), copy.time(now));
  const bool certain = copy_is == CopyIs::certain;
  if (answer.allowed()) return StillCovered{certain, copy.index().ends(answer.record)};
  const bool says_so_itself =
      answer.record != kNothing && copy.index().consent_id(answer.record) == use.consent;
  if (says_so_itself || (certain && copy.is_whole())) return fail(error_of(answer.code));
  return StillCovered{false, Timestamp::max()};
}

Result<bool> RunningUse::hear(Result<bool> certain, BootTime now) {
  if (ended_) return fail(*ended_);
  if (certain && *certain) {
    unsure_since_.reset();
    return true;
  }
  if (certain) {
    if (!unsure_since_) unsure_since_ = now;
    if (now - *unsure_since_ < kUnsure) return false;
    certain = fail(errors::lease_expired);
  }
  ended_ = std::move(certain).error();
  return fail(*ended_);
}

}  // namespace intra365::guard
