// A use of somebody's data that goes on after it was allowed: may it still? The part of the SDK's uses that
// the simulation runs as it is (tests/sim).
#pragma once
#include "contract/errors.hpp"
#include "guard/consent_copy.hpp"

namespace intra365::guard {

/// What is used, and by which consent it began.
struct ConsentedUse {
  ConsentId consent;
  UserId user;
  MateId mate;
  std::vector<Scope> scopes;
  Purpose purpose;
};

/// Whether a copy's lease is alive: only then is its silence an answer.
enum class CopyIs { certain, behind };

struct StillCovered {
  bool certain = false;  ///< false: nobody knows just now
  Timestamp until{};     ///< when the consent expires; the latest time there is for never
};

/// May the use go on, by this copy? Fails with why not. What its own consent is known to say is final,
/// however old the news. But a copy that is behind may have been emptied to be filled anew, and one that has
/// part of an answer may lack the yes beside a no: neither what is missing nor what another consent says ends
/// anything.
Result<StillCovered> still_covered(const ConsentCopy& copy, const ConsentedUse& use, CopyIs copy_is,
                                   Instant now);

/// What a running use has been told. Once it is over it stays so. Owned by one shard; not thread-safe.
class RunningUse {
 public:
  /// A lease that is behind is mostly renewed within milliseconds. Until then nothing is sent, and nothing
  /// ends; after this it is over with `guard.lease_expired`.
  static constexpr std::chrono::seconds kUnsure{2};

  /// `certain` is what an enforcement point knows now: true, false for "nobody knows just now", or why it is
  /// over. True: permitted. False: ask again.
  Result<bool> hear(Result<bool> certain, BootTime now);
  const std::optional<Error>& ended() const { return ended_; }

 private:
  std::optional<BootTime> unsure_since_;
  std::optional<Error> ended_;
};

}  // namespace intra365::guard
