#include "services/registry/model.hpp"

#include <algorithm>

#include "contract/errors.hpp"

namespace intra365::services::registry {
namespace {

constexpr std::string_view kStatuses[] = {"active", "degraded", "draining", "inactive"};

Failure bad(std::string_view what) {
  return fail(intra365::errors::bad_value, std::string(what));
}

/// Semantic versioning 2.0.0, its core: three numbers, then anything after '-' or '+'.
bool is_semantic_version(std::string_view text) {
  int numbers = 0;
  std::size_t at = 0;
  while (numbers < 3) {
    const auto begin = at;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') ++at;
    if (at == begin || at - begin > 9) return false;
    if (++numbers < 3 && (at == text.size() || text[at++] != '.')) return false;
  }
  return at == text.size() || text[at] == '-' || text[at] == '+';
}

/// Every subject in `endpoints["nats.subjects"]` belongs to the Mate.
Result<void> check_endpoints(const boost::json::value& endpoints, const MateId& mate) {
  if (endpoints.is_null()) return {};
  const auto* object = endpoints.if_object();
  if (object == nullptr) return bad("endpoints: expected an object");
  const auto* subjects = object->if_contains("nats.subjects");
  if (subjects == nullptr) return {};
  const auto* list = subjects->if_array();
  if (list == nullptr || list->size() > 100)
    return bad("endpoints.nats.subjects: expected a list of at most 100 subjects");
  const auto own = "intra365.mate." + mate.str() + ".";
  for (const auto& subject : *list) {
    if (!subject.is_string() || !std::string_view(subject.get_string()).starts_with(own))
      return fail(errors::foreign_subject);
  }
  return {};
}

}  // namespace

Result<MateId> own_mate(const platform::Caller& caller, const std::optional<MateId>& named) {
  if (!named) {
    if (caller.kind != PrincipalKind::mate)
      return fail(intra365::errors::missing_field, "'mateId' is missing");
    return MateId::parse(caller.id);
  }
  if (!caller.is_mate(*named) && !caller.is_operator()) return fail(errors::not_this_mate);
  return *named;
}

Result<MateId> check_registration(const platform::Caller& caller, const intra365::registry::Mate& mate) {
  TRY(auto id, own_mate(caller, mate.mate_id));
  if (mate.name.empty() || mate.name.size() > 200) return bad("name: 1 to 200 bytes");
  if (mate.type.empty() || mate.type.size() > 64) return bad("type: 1 to 64 bytes");
  if (!is_semantic_version(mate.version) || mate.version.size() > 64)
    return bad("version: a semantic version such as 1.0.0");
  if (mate.capabilities.size() > 100 || mate.tags.size() > 50 || mate.dependencies.size() > 100)
    return bad("at most 100 capabilities, 50 tags and 100 dependencies");
  if (mate.description.value_or("").size() > 4000) return bad("description: at most 4000 bytes");
  for (const auto& tag : mate.tags)
    if (!is_dotted_name(tag)) return bad("tags: a tag must match [A-Za-z0-9_.:-]{1,128}");
  for (const auto& other : mate.dependencies)
    if (!is_token(other)) return bad("dependencies: expected ids of Mates");
  if (std::ranges::find(kStatuses, mate.status.value_or("active")) == std::end(kStatuses))
    return bad("status: one of active, degraded, draining, inactive");
  CHECK(check_endpoints(mate.endpoints, id));
  return id;
}

Result<void> check_discovery(const intra365::registry::DiscoverRequest& request) {
  if (request.limit && (*request.limit < 1 || *request.limit > 200)) return bad("limit: 1 to 200");
  if (request.query && request.query->size() > 500) return bad("query: at most 500 bytes");
  if (request.version && request.version->size() > 64) return bad("version: at most 64 bytes");
  if (request.tags && request.tags->size() > 50) return bad("tags: at most 50");
  if (request.scopes && request.scopes->size() > 100) return bad("scopes: at most 100");
  return {};
}

Fit rank(const intra365::registry::DiscoverRequest& request, const intra365::registry::Discovered& mate,
         double text_rank, Timestamp now) {
  Fit fit{0.4, {}};
  if (request.capability) {
    fit.score += 0.3;
    fit.why.push_back("offers " + request.capability->str());
  }
  if (request.query && text_rank > 0) {
    fit.score += 0.2 * std::min(1.0, text_rank);
    fit.why.push_back("matches the words");
  }
  if (request.version) fit.why.push_back("version " + mate.version);
  if (request.tags && !request.tags->empty()) fit.why.push_back("has the tags");
  if (request.scopes) fit.why.push_back("needs no other scopes");
  const bool heard = mate.last_seen_at && now - *mate.last_seen_at < kSilent;
  if (mate.status == "active" && heard) {
    fit.score += 0.1;
    fit.why.push_back("active and heard of");
  } else {
    fit.score *= 0.5;
    fit.why.push_back(heard ? "is " + mate.status : "not heard of lately");
  }
  return fit;
}

}  // namespace intra365::services::registry
