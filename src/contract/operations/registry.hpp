// Operations of the Mate registry: who is there, what they can do, how to reach them.
#pragma once
#include <map>

#include "base/ids.hpp"
#include "base/time.hpp"
#include "contract/operation.hpp"

namespace intra365::registry {

using namespace std::chrono_literals;

struct Authentication {
  bool required = true;
  std::vector<std::string> methods;
};
BOOST_DESCRIBE_STRUCT(Authentication, (), (required, methods))

/// What of people's data a Mate asks for, declared before it is used.
struct DataAccess {
  std::vector<Scope> required_scopes;
  std::vector<Purpose> purposes;
  std::optional<std::string> data_retention;
};
BOOST_DESCRIBE_STRUCT(DataAccess, (), (required_scopes, purposes, data_retention))

/// The mission's Mate model.
struct Mate {
  std::optional<MateId> mate_id;  ///< the caller's own id when absent
  std::string name;
  std::string type;  ///< `ai-agent`, `web-app`, `service`, `iot-device`
  std::vector<Capability> capabilities;
  std::string version;           ///< semantic version
  boost::json::value endpoints;  ///< `{"nats.subjects":[…]}`; further kinds may stand beside it
  std::optional<Authentication> authentication;
  std::optional<DataAccess> data_access;
  std::optional<std::string> status;  ///< `active` when absent
  std::optional<std::string> description;
  std::vector<std::string> tags;
  std::vector<std::string> dependencies;  ///< ids of Mates it calls
  boost::json::value metadata;
};
BOOST_DESCRIBE_STRUCT(Mate, (),
                      (mate_id, name, type, capabilities, version, endpoints, authentication, data_access,
                       status, description, tags, dependencies, metadata))

struct RegisterReply {
  MateId mate_id;
  Timestamp registered_at;
  std::uint64_t revision = 0;
};
BOOST_DESCRIBE_STRUCT(RegisterReply, (), (mate_id, registered_at, revision))

struct MateRequest {
  MateId mate_id;
};
BOOST_DESCRIBE_STRUCT(MateRequest, (), (mate_id))

struct DeregisterReply {
  bool deregistered = false;
  std::uint64_t revision = 0;
};
BOOST_DESCRIBE_STRUCT(DeregisterReply, (), (deregistered, revision))

struct DiscoverRequest {
  std::optional<Capability> capability;
  std::optional<std::string> query;    ///< words found in name, description and tags
  std::optional<std::string> version;  ///< exact, or a prefix such as `1` or `1.2`
  std::optional<std::vector<std::string>> tags;
  std::optional<std::vector<Scope>> scopes;  ///< only Mates that need no other scopes than these
  std::optional<int> limit;                  ///< 1 to 200, 50 when absent
};
BOOST_DESCRIBE_STRUCT(DiscoverRequest, (), (capability, query, version, tags, scopes, limit))

/// A Mate as discovery shows it: the model, its rank and the reasons for it.
struct Discovered {
  MateId mate_id;
  std::string name;
  std::string type;
  std::vector<Capability> capabilities;
  std::string version;
  boost::json::value endpoints;
  std::optional<Authentication> authentication;
  std::optional<DataAccess> data_access;
  std::string status;
  std::optional<std::string> description;
  std::vector<std::string> tags;
  std::vector<std::string> dependencies;
  boost::json::value metadata;
  Timestamp registered_at;
  std::optional<Timestamp> last_seen_at;
  std::uint64_t revision = 0;
  double score = 0;              ///< 0 to 1
  std::vector<std::string> why;  ///< e.g. `capability image-analysis`
};
BOOST_DESCRIBE_STRUCT(Discovered, (),
                      (mate_id, name, type, capabilities, version, endpoints, authentication, data_access,
                       status, description, tags, dependencies, metadata, registered_at, last_seen_at,
                       revision, score, why))

struct DiscoverReply {
  std::vector<Discovered> mates;
};
BOOST_DESCRIBE_STRUCT(DiscoverReply, (), (mates))

struct HeartbeatRequest {
  std::optional<MateId> mate_id;      ///< the caller's own id when absent
  std::optional<std::string> status;  ///< `active`, `degraded` or `draining`
};
BOOST_DESCRIBE_STRUCT(HeartbeatRequest, (), (mate_id, status))

struct HeartbeatReply {
  bool known = false;  ///< false: register again
  Timestamp at;
};
BOOST_DESCRIBE_STRUCT(HeartbeatReply, (), (known, at))

inline constexpr auto register_ = operation<Mate, RegisterReply>({
    .subject = "intra365.registry.register",
    .http = {Method::post, "/v1/mates"},
    .access = Access::mate,
    .effect = Effect::changes,
    .summary = "A Mate makes itself, its capabilities and its data needs known.",
    .example =
        R"({"name":"Image analyzer","type":"service","capabilities":["image-analysis"],"version":"1.0.0","endpoints":{"nats.subjects":["intra365.mate.image-analyzer.*"]}})",
});
inline constexpr auto deregister = operation<MateRequest, DeregisterReply>({
    .subject = "intra365.registry.deregister",
    .http = {Method::delete_, "/v1/mates/{mateId}"},
    .access = Access::mate,
    .effect = Effect::changes,
    .summary = "A Mate takes itself out of the registry.",
    .example = R"({"mateId":"image-analyzer"})",
});
inline constexpr auto discover = operation<DiscoverRequest, DiscoverReply>({
    .subject = "intra365.registry.discover",
    .http = {Method::get, "/v1/mates"},
    .access = Access::anyone,
    .deadline = 500ms,
    .summary = "Finds the tenant's Mates by capability, words, version, tags or data needs, best first.",
    .example = R"({"capability":"image-analysis"})",
});
inline constexpr auto get = operation<MateRequest, Discovered>({
    .subject = "intra365.registry.get",
    .http = {Method::get, "/v1/mates/{mateId}"},
    .access = Access::anyone,
    .deadline = 500ms,
    .summary = "One Mate as it registered itself.",
    .example = R"({"mateId":"image-analyzer"})",
});
inline constexpr auto heartbeat = operation<HeartbeatRequest, HeartbeatReply>({
    .subject = "intra365.registry.heartbeat",
    .http = {Method::post, "/v1/mates/{mateId}/heartbeat"},
    .access = Access::mate,
    .deadline = 500ms,
    .audited = false,
    .summary = "A Mate says that it is alive and how it is.",
    .example = R"({"status":"active"})",
});

}  // namespace intra365::registry
