// Does a consent hold? Answered from memory where a copy may be used, from PostgreSQL otherwise, and from the
// history for any time that has passed.
#pragma once
#include "services/consent/copies.hpp"
#include "services/consent/households.hpp"
#include "services/consent/model.hpp"

namespace intra365::services::consent {

/// Owned by one shard; not thread-safe. Everything it is given must outlive it.
class Verification {
 public:
  Verification(platform::Environment& environment, Store& store, Copies& copies, Households& households)
      : environment_(environment), store_(store), copies_(copies), households_(households) {}

  /// From memory; nothing where no copy may be used, or none has seen what was asked for.
  std::optional<Result<intra365::consent::VerifyReply>> verify_now(
      const platform::Caller& caller, const intra365::consent::VerifyRequest& request);
  /// From PostgreSQL.
  Task<intra365::consent::VerifyReply> verify(const platform::Caller& caller,
                                              const intra365::consent::VerifyRequest& request);
  /// What held at one time, by what was known at another.
  Task<intra365::consent::AsOfReply> as_of(const platform::Caller& caller,
                                           const intra365::consent::AsOfRequest& request);

 private:
  /// A person's or a group's records for a Mate as they stood at the times of `at`. `complete` becomes false
  /// where there is more than can be looked at.
  Task<std::vector<intra365::consent::Consent>> records_then(const platform::Caller& caller,
                                                             intra365::consent::SubjectId subject,
                                                             MateId mate,
                                                             const intra365::consent::AsOfReply& at,
                                                             bool& complete);

  platform::Environment& environment_;
  Store& store_;
  Copies& copies_;
  Households& households_;
};

}  // namespace intra365::services::consent
