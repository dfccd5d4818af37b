// Subjects as tenants see them, and as the platform's own account sees them.
//
// A tenant's account imports every service of the platform: what a Mate publishes to
// `intra365.consent.verify` reaches the service as `acct.<account key>.intra365.consent.verify`, the key put
// there by the server.
#pragma once
#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "base/ids.hpp"

namespace intra365::subjects {

/// What the platform sends into a tenant: `intra365.<feed>.>`.
inline constexpr std::array<std::string_view, 3> feeds{"events", "guard", "user"};
/// Stands for the platform itself where a tenant's account key would be.
inline constexpr std::string_view platform_account = "platform";

/// `acct.<account>.<subject>`
std::string in_account(std::string_view account, std::string_view subject);
/// `acct.*.<subject>`
std::string in_any_account(std::string_view subject);

struct Scoped {
  std::string_view account;
  std::string_view subject;  ///< as the tenant sees it
};
/// Takes `acct.<account>.<subject>` apart; nullopt for anything else.
std::optional<Scoped> split_account(std::string_view subject);

/// `intra365.mate.<mate>.<rest>`
std::string mate(const MateId& mate, std::string_view rest);
/// `intra365.events.<domain>.<type>`
std::string event(std::string_view domain, std::string_view type);

/// What happens to a person's own things: `intra365.user.<person>.<domain>.<type>`; only they may listen.
std::string person_event(std::string_view person, std::string_view domain, std::string_view type);
/// `intra365.user.<person>.<domain>.>`
std::string person_events(std::string_view person, std::string_view domain);

/// Pushes to enforcement points: fast, but only a hint; `*.sync` is what makes them certain.
inline constexpr std::string_view guard_policy = "intra365.guard.policy";
inline constexpr std::string_view guard_token = "intra365.guard.token";
std::string guard_consent(const MateId& mate);  ///< `intra365.guard.consent.<mate>`
inline constexpr std::string_view any_guard_consent = "intra365.guard.consent.*";
/// Changes of the decisions that a Mate or a person watches.
std::string guard_decision(std::string_view id);  ///< `intra365.guard.decision.<id>`

}  // namespace intra365::subjects
