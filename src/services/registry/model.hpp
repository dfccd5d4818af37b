// Pure rules of the registry: what a valid registration is, and how well a Mate fits a question.
#pragma once
#include "contract/operations/registry.hpp"
#include "platform/caller.hpp"

namespace intra365::services::registry {

namespace errors {
inline constexpr ErrorCode not_this_mate{ErrorKind::denied, "registry.not_this_mate",
                                         "A Mate registers, deregisters and reports only itself."};
inline constexpr ErrorCode unknown_mate{ErrorKind::not_found, "registry.unknown_mate",
                                        "No Mate of this id is registered in this tenant."};
inline constexpr ErrorCode unknown_identity{
    ErrorKind::not_found, "registry.unknown_identity",
    "There is no identity of this name; create one first (intra365 mate create)."};
inline constexpr ErrorCode foreign_subject{ErrorKind::denied, "registry.foreign_subject",
                                           "A Mate offers subjects below intra365.mate.<its own id> only."};
}  // namespace errors

/// Checks a registration and returns whose it is: the caller itself, or any Mate for the operator.
Result<MateId> check_registration(const platform::Caller& caller, const intra365::registry::Mate& mate);
/// The Mate a caller may speak for.
Result<MateId> own_mate(const platform::Caller& caller, const std::optional<MateId>& named);
Result<void> check_discovery(const intra365::registry::DiscoverRequest& request);

/// Score from 0 to 1 and the reasons for it. `text_rank` is the database's rank of the words, 0 to 1.
struct Fit {
  double score = 0;
  std::vector<std::string> why;
};
Fit rank(const intra365::registry::DiscoverRequest& request, const intra365::registry::Discovered& mate,
         double text_rank, Timestamp now);

/// A Mate that has not been heard of for this long ranks last.
inline constexpr auto kSilent = std::chrono::seconds(90);

}  // namespace intra365::services::registry
