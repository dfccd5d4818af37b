// Opting out of purposes that the law lets people opt out of: their data sold or shared. It needs no reason,
// and a signal of the browser (Global Privacy Control) is enough.
#pragma once
#include "contract/operations/consent.hpp"

namespace intra365::consent {

/// How an opt-out was said.
enum class OptOutMethod { request, gpc, device };
BOOST_DESCRIBE_ENUM(OptOutMethod, request, gpc, device)

struct OptOutRequest {
  UserId user_id;
  OptOutMethod method = OptOutMethod::request;
};
BOOST_DESCRIBE_STRUCT(OptOutRequest, (), (user_id, method))

struct OptOutReply {
  std::vector<Purpose> purposes;  ///< which the person has opted out of
  std::vector<Consent> consents;  ///< that were narrowed, refused or revoked by this request
};
BOOST_DESCRIBE_STRUCT(OptOutReply, (), (purposes, consents))

inline constexpr auto opt_out = operation<OptOutRequest, OptOutReply>({
    .subject = "intra365.consent.opt_out",
    .http = {Method::post, "/v1/consents/opt-out"},
    .access = Access::anyone,
    .effect = Effect::changes,
    .deadline = 5000ms,
    .summary =
        "A person opts out of every purpose of the catalogue that the law lets them opt out of. Each purpose "
        "once: what they allow afterwards, they have allowed.",
    .example = R"({"userId":"alice","method":"request"})",
});

}  // namespace intra365::consent
