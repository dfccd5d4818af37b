#include "services/sts/revocations.hpp"

#include "contract/subjects.hpp"

namespace intra365::services::sts {
namespace {

constexpr std::string_view kBucket = "sts_revoked";
constexpr std::size_t kMaxServers = 64;
constexpr auto kStall = std::chrono::milliseconds(100);

/// What we read of a server's CONNZ answer.
struct OpenConnection {
  std::uint64_t cid = 0;
};
BOOST_DESCRIBE_STRUCT(OpenConnection, (), (cid))
struct Connz {
  std::vector<OpenConnection> connections;
};
BOOST_DESCRIBE_STRUCT(Connz, (), (connections))
struct ConnzServer {
  std::string id;
};
BOOST_DESCRIBE_STRUCT(ConnzServer, (), (id))
struct ConnzReply {
  ConnzServer server;
  Connz data;
};
BOOST_DESCRIBE_STRUCT(ConnzReply, (), (server, data))

struct ConnzRequest {
  bool auth = true;
  std::string acc, user;
};
BOOST_DESCRIBE_STRUCT(ConnzRequest, (), (auth, acc, user))

}  // namespace

Revocations::Revocations(platform::Environment& environment, Store& store, nats::Connection& system)
    : environment_(environment),
      store_(store),
      system_(system),
      revoked_(environment.jetstream, std::string(kBucket)) {}

Task<> Revocations::start(SteadyTime) {
  nats::BucketConfig bucket;
  bucket.name = kBucket;
  bucket.ttl = environment_.config.tokens.access_lifetime * 2;
  CO_CHECK(co_await nats::KeyValue::ensure(environment_.jetstream, bucket));
  co_return Result<void>{};
}

Task<auth::RevokeReply> Revocations::revoke_token(TenantId tenant, std::string jti, std::string actor,
                                                  SteadyTime deadline) {
  auth::Revocation revocation;
  revocation.tenant = tenant;
  revocation.jti = std::move(jti);
  CO_TRY(const auto written, co_await spread(std::move(revocation), std::move(actor), deadline));
  co_return auth::RevokeReply{true, 0, written.epoch};
}

Task<auth::RevokeReply> Revocations::revoke_subject(TenantId tenant, std::string subject,
                                                    std::string principal, std::string actor,
                                                    SteadyTime deadline) {
  auth::Revocation revocation;
  revocation.tenant = tenant;
  revocation.subject = std::move(subject);
  CO_TRY(const auto written, co_await spread(std::move(revocation), std::move(actor), deadline));
  // Revoke first, close second: a client that reconnects at once must already find the door shut.
  CO_TRY(const auto closed, co_await close_connections(tenant, std::move(principal), deadline));
  co_return auth::RevokeReply{true, closed, written.epoch};
}

Task<WrittenRevocation> Revocations::spread(auth::Revocation revocation, std::string actor,
                                            SteadyTime deadline) {
  revocation.expires_at =
      environment_.clock.now() + environment_.config.tokens.access_lifetime + std::chrono::minutes(1);
  CO_TRY(const auto written,
         co_await store_.add_revocation(std::move(revocation), std::move(actor), deadline));
  const auto tenant = *written.revocation.tenant;
  CO_TRY(const auto account, co_await environment_.tenants.account_of(tenant, deadline));

  auth::RevocationPush push{written.previous_epoch, written.epoch, written.revocation};
  CO_CHECK(environment_.nats.publish(subjects::in_account(subjects::platform_account, subjects::guard_token),
                                     json::encode(push)));
  push.previous_epoch = written.previous_tenant_epoch;
  CO_CHECK(
      environment_.nats.publish(subjects::in_account(account, subjects::guard_token), json::encode(push)));
  // The bucket is a cache beside the table: its failure delays nobody, the syncs carry the truth.
  if (const auto cached =
          co_await revoked_.put(std::to_string(written.epoch), json::encode(written.revocation));
      !cached) {
    environment_.telemetry.log.write(platform::LogLevel::warning, "revocation not cached",
                                     {{"code", cached.error().code}});
  }
  co_return written;
}

Task<std::uint64_t> Revocations::close_connections(TenantId tenant, std::string principal,
                                                   SteadyTime deadline) {
  CO_TRY(const auto account, co_await environment_.tenants.account_of(tenant, deadline));
  ConnzRequest question{true, account, principal};
  const nats::HeaderBlock no_headers;
  CO_TRY(const auto answers,
         co_await system_.request_many("$SYS.REQ.SERVER.PING.CONNZ", json::encode(question), no_headers,
                                       deadline, kMaxServers, kStall));
  std::uint64_t closed = 0;
  for (const auto& answer : answers) {
    const auto listed = json::decode<ConnzReply>(answer.payload(), json::Unknown::ignore);
    if (!listed) continue;
    for (const auto& connection : listed->data.connections) {
      const auto subject = "$SYS.REQ.SERVER." + listed->server.id + ".KICK";
      const auto body = "{\"cid\":" + std::to_string(connection.cid) + "}";
      if (co_await system_.request(subject, body, no_headers, deadline)) ++closed;
    }
  }
  co_return closed;
}

}  // namespace intra365::services::sts
