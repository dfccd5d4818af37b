// Operations about what becomes of a consent once it stands: how far a change of it has got.
#pragma once
#include "contract/operations/consent.hpp"

namespace intra365::consent {

struct PropagationRequest {
  ConsentId consent_id;
};
BOOST_DESCRIBE_STRUCT(PropagationRequest, (), (consent_id))

/// Where one enforcement point stands with the latest change of a consent.
enum class PointState {
  untold,     ///< the change could not be pushed; the point will hear of it when it asks
  told,       ///< pushed, and not yet confirmed
  confirmed,  ///< it has said that it decides by the change
  lapsed,     ///< it has not said so, and its lease is over: it cannot decide by what was before
};
BOOST_DESCRIBE_ENUM(PointState, untold, told, confirmed, lapsed)

struct PropagationPoint {
  std::string instance;  ///< one process of the Mate
  PointState state = PointState::untold;
  std::optional<Timestamp> confirmed_at;
  std::optional<std::int64_t> after_us;  ///< from the change to the confirmation
  std::optional<Timestamp> heard_at;  ///< when it last asked, to within ten seconds; none: not there any more
};
BOOST_DESCRIBE_STRUCT(PropagationPoint, (), (instance, state, confirmed_at, after_us, heard_at))

struct PropagationReply {
  ConsentId consent_id;
  MateId mate_id;
  Status status = Status::active;
  std::uint64_t mate_epoch = 0;  ///< what a point must have reached
  Timestamp changed_at;
  std::optional<Timestamp> told_at;
  std::int64_t bound_ms = 1000;          ///< after this no point decides by what was before
  bool complete = false;                 ///< every point has confirmed, or cannot decide by what was before
  std::vector<PropagationPoint> points;  ///< of the Mate, as far as they were there at the change
};
BOOST_DESCRIBE_STRUCT(PropagationReply, (),
                      (consent_id, mate_id, status, mate_epoch, changed_at, told_at, bound_ms, complete,
                       points))

inline constexpr auto propagation = operation<PropagationRequest, PropagationReply>({
    .subject = "intra365.consent.propagation",
    .http = {Method::get, "/v1/consents/{consentId}/propagation"},
    .access = Access::anyone,
    .summary = "How far the latest change of a consent has got: which of the Mate's processes knows, and "
               "since when.",
    .example = R"({"consentId":"0198…"})",
});

}  // namespace intra365::consent
