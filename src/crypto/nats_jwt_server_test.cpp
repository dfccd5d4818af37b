// What we mint is what a real nats-server in operator mode takes for it: direct user JWTs, permissions,
// imports and the sealed auth callout. The client here is raw TCP, so that nothing of ours but this folder is
// tested.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <iterator>
#include <sstream>
#include <thread>

#include <boost/asio/ip/tcp.hpp>
#include <boost/json.hpp>

#include "crypto/encoding.hpp"
#include "crypto/nats_jwt.hpp"
#include "tests/support/servers.hpp"

namespace intra365::crypto {
namespace {

namespace bj = boost::json;
using std::chrono::seconds;
using ::testing::HasSubstr;

Timestamp now() {
  return system_clock().now();
}

struct Message {
  std::string subject, reply, headers, payload;
};

/// One connection that speaks the protocol by hand; every wait ends after five seconds.
class RawClient {
 public:
  explicit RawClient(const intra365::testing::NatsServer& server) {
    stream_.expires_after(seconds(5));
    stream_.connect("127.0.0.1", std::to_string(server.port()));
    info_ = bj::parse(line().substr(5)).as_object();
  }

  const bj::object& info() const { return info_; }

  /// Signs the nonce where a key is given. Returns "PONG" or the server's refusal.
  std::string login(bj::object options, const Nkey* key = nullptr) {
    options.insert({{"verbose", false},
                    {"pedantic", false},
                    {"protocol", 1},
                    {"headers", true},
                    {"no_responders", true},
                    {"lang", "test"},
                    {"version", "0"}});
    if (key != nullptr)
      options["sig"] = base64url(key->sign(std::string_view(info_.at("nonce").as_string())));
    send("CONNECT " + bj::serialize(options) + "\r\n");
    return ping();
  }
  std::string login(const std::string& jwt, const Nkey& key) { return login({{"jwt", jwt}}, &key); }

  /// "PONG" when the server has worked off everything before it, otherwise what it objects to.
  std::string ping() {
    send("PING\r\n");
    for (;;) {
      const std::string text = line();
      if (!text.starts_with("INFO ")) return text;
    }
  }
  /// A server that has hung up may have said why before: a failed write must not stop the reading of it.
  void send(const std::string& text) {
    stream_ << text << std::flush;
    stream_.clear();
  }
  void subscribe(const std::string& subject) { send("SUB " + subject + " 1\r\n"); }
  void publish(const std::string& subject, const std::string& payload, const std::string& reply = "") {
    send("PUB " + subject + " " + (reply.empty() ? "" : reply + " ") + std::to_string(payload.size()) +
         "\r\n" + payload + "\r\n");
  }

  /// The next message; an empty subject, and the line as payload, when the server says something else.
  Message receive() {
    for (;;) {
      const std::string text = line();
      if (text.starts_with("INFO ") || text == "PONG") continue;
      std::istringstream words(text);
      std::vector<std::string> part{std::istream_iterator<std::string>(words), {}};
      if (part.empty() || (part[0] != "MSG" && part[0] != "HMSG")) return {"", "", "", text};
      const bool with_headers = part[0] == "HMSG";
      const std::size_t sizes = with_headers ? 2 : 1;
      Message message{part[1], part.size() == 3 + sizes + 1 ? part[3] : "", "",
                      std::string(std::stoul(part.back()), 0)};
      stream_.read(message.payload.data(), static_cast<std::streamsize>(message.payload.size()));
      line();
      if (with_headers) {
        const std::size_t size = std::stoul(part[part.size() - 2]);
        message.headers = message.payload.substr(0, size);
        message.payload.erase(0, size);
      }
      return message;
    }
  }

 private:
  std::string line() {
    std::string text;
    if (!std::getline(stream_, text)) return "closed";
    if (text.ends_with('\r')) text.pop_back();
    return text;
  }

  boost::asio::ip::tcp::iostream stream_;
  bj::object info_;
};

/// A server with a system, a platform, a callout and a tenant account, all minted here.
class OperatorMode : public ::testing::Test {
 protected:
  const Nkey operator_root = Nkey::generate(KeyKind::operator_);
  const Nkey operator_signer = Nkey::generate(KeyKind::operator_);
  const Nkey system = Nkey::generate(KeyKind::account);
  const Nkey platform = Nkey::generate(KeyKind::account);
  const Nkey callout = Nkey::generate(KeyKind::account);
  const Nkey tenant = Nkey::generate(KeyKind::account);
  const Nkey tenant_signer = Nkey::generate(KeyKind::account);
  const Nkey sts = Nkey::generate(KeyKind::user);
  const Xkey sts_xkey = Xkey::generate();
  std::unique_ptr<intra365::testing::NatsServer> server;

  void SetUp() override { server = std::make_unique<intra365::testing::NatsServer>(config({})); }

  std::string config(std::map<std::string, Timestamp> revocations) const {
    const std::string operator_jwt = mint(
        OperatorClaims{
            "intra365", operator_root.public_key(), {operator_signer.public_key()}, system.public_key()},
        operator_root, now());
    AccountClaims system_claims{.name = "SYS", .subject = system.public_key()};
    AccountClaims platform_claims{.name = "PLATFORM", .subject = platform.public_key()};
    platform_claims.service_exports = {{"echo", "acct.*.echo", 2, true}};
    platform_claims.stream_exports = {{"events", "events.>"}};
    AccountClaims callout_claims{.name = "AUTH", .subject = callout.public_key()};
    callout_claims.callout_users = {sts.public_key()};
    callout_claims.callout_allowed_accounts = {tenant.public_key()};
    callout_claims.callout_xkey = sts_xkey.public_key();
    AccountClaims tenant_claims{.name = "TENANT", .subject = tenant.public_key()};
    tenant_claims.signing_keys = {tenant_signer.public_key()};
    tenant_claims.imports = {
        {"echo", platform.public_key(), "acct." + tenant.public_key() + ".echo", "svc.echo", false, true},
        {"events", platform.public_key(), "events.news", "", true, false}};
    tenant_claims.jetstream = true;
    tenant_claims.max_payload = 4096;
    tenant_claims.revocations = std::move(revocations);
    std::string text = "operator: " + operator_jwt + "\nsystem_account: " + system.public_key() +
                       "\nresolver: MEMORY\njetstream {}\nresolver_preload: {\n";
    for (const AccountClaims& claims : {system_claims, platform_claims, callout_claims, tenant_claims})
      text += "  " + claims.subject + ": " + mint(claims, operator_signer, now()) + "\n";
    return text + "}\n";
  }

  /// A user of the tenant, minted by the tenant's signing key.
  std::string tenant_user(const Nkey& key, std::optional<Permissions> permissions = std::nullopt,
                          std::optional<Timestamp> expires_at = std::nullopt) const {
    return mint(
        UserClaims{"mate-7", key.public_key(), tenant.public_key(), expires_at, std::move(permissions)},
        tenant_signer, now());
  }
  static std::string user_of(const Nkey& account, const Nkey& key) {
    return mint(UserClaims{.name = "service", .subject = key.public_key()}, account, now());
  }
};

TEST_F(OperatorMode, direct_user_jwt_with_its_signature_is_let_in) {
  const Nkey user = Nkey::generate(KeyKind::user);
  RawClient client(*server);
  EXPECT_EQ(client.login(tenant_user(user, std::nullopt, now() + seconds(60)), user), "PONG");
  RawClient platform_client(*server);
  EXPECT_EQ(platform_client.login(user_of(platform, user), user), "PONG");
}

TEST_F(OperatorMode, wrong_signature_expired_or_foreign_token_is_refused) {
  const Nkey user = Nkey::generate(KeyKind::user);
  const Nkey other = Nkey::generate(KeyKind::user);
  EXPECT_THAT(RawClient(*server).login(tenant_user(user), other), HasSubstr("Authorization Violation"));
  EXPECT_THAT(RawClient(*server).login(tenant_user(user, std::nullopt, now() - seconds(5)), user),
              HasSubstr("-ERR"));
  EXPECT_THAT(RawClient(*server).login(user_of(Nkey::generate(KeyKind::account), user), user),
              HasSubstr("Authorization Violation"));
}

TEST_F(OperatorMode, empty_permissions_mean_nothing_and_named_ones_what_they_name) {
  const Nkey user = Nkey::generate(KeyKind::user);
  RawClient powerless(*server);
  ASSERT_EQ(powerless.login(tenant_user(user, Permissions{}), user), "PONG");
  powerless.publish("any.subject", "x");
  EXPECT_THAT(powerless.ping(), HasSubstr("Permissions Violation for Publish"));

  RawClient deaf(*server);
  ASSERT_EQ(deaf.login(tenant_user(user, Permissions{}), user), "PONG");
  deaf.subscribe("any.subject");
  EXPECT_THAT(deaf.ping(), HasSubstr("Permissions Violation for Subscription"));

  RawClient mate(*server);
  ASSERT_EQ(mate.login(tenant_user(user, Permissions{{"mate.7.>"}, {"mate.7.in"}, 0, {}}), user), "PONG");
  mate.subscribe("mate.7.in");
  mate.publish("mate.7.in", "hello");
  EXPECT_EQ(mate.receive().payload, "hello");
  mate.publish("mate.8.in", "hello");
  EXPECT_THAT(mate.receive().payload, HasSubstr("Permissions Violation"));
}

TEST_F(OperatorMode, responder_without_publish_rights_answers_as_often_as_allowed) {
  const Nkey user = Nkey::generate(KeyKind::user);
  RawClient responder(*server);
  RawClient requester(*server);
  ASSERT_EQ(responder.login(tenant_user(user, Permissions{{}, {"svc.do"}, 1, seconds(5)}), user), "PONG");
  ASSERT_EQ(requester.login(tenant_user(user), user), "PONG");
  responder.subscribe("svc.do");
  ASSERT_EQ(responder.ping(), "PONG");
  requester.subscribe("_INBOX.r");
  requester.publish("svc.do", "please", "_INBOX.r");
  const Message request = responder.receive();
  ASSERT_EQ(request.payload, "please");
  responder.publish(request.reply, "done");
  EXPECT_EQ(requester.receive().payload, "done");
  responder.publish(request.reply, "again");
  EXPECT_THAT(responder.receive().payload, HasSubstr("Permissions Violation"));
}

TEST_F(OperatorMode, service_behind_an_import_learns_tenant_and_mate_and_may_reply_often) {
  const Nkey user = Nkey::generate(KeyKind::user);
  RawClient service(*server);
  RawClient mate(*server);
  ASSERT_EQ(service.login(user_of(platform, user), user), "PONG");
  ASSERT_EQ(mate.login(tenant_user(user), user), "PONG");
  service.subscribe("acct.*.echo");
  ASSERT_EQ(service.ping(), "PONG");
  mate.subscribe("_INBOX.r");
  mate.publish("svc.echo", "hello", "_INBOX.r");
  const Message request = service.receive();
  EXPECT_EQ(request.subject, "acct." + tenant.public_key() + ".echo");
  EXPECT_THAT(request.headers, HasSubstr("\"name_tag\":\"mate-7\""));
  service.publish(request.reply, "one");
  service.publish(request.reply, "two");
  EXPECT_EQ(mate.receive().payload, "one");
  EXPECT_EQ(mate.receive().payload, "two");

  mate.send("SUB events.news 2\r\n");
  ASSERT_EQ(mate.ping(), "PONG");
  service.publish("events.news", "it rains");
  EXPECT_EQ(mate.receive().payload, "it rains");
}

TEST_F(OperatorMode, account_limits_hold) {
  const Nkey user = Nkey::generate(KeyKind::user);
  RawClient with_storage(*server);
  ASSERT_EQ(with_storage.login(tenant_user(user), user), "PONG");
  with_storage.subscribe("_INBOX.r");
  with_storage.publish("$JS.API.STREAM.CREATE.S", R"({"name":"S","subjects":["s.>"],"storage":"file"})",
                       "_INBOX.r");
  EXPECT_THAT(with_storage.receive().payload, HasSubstr("\"did_create\":true"));
  with_storage.publish(
      "$JS.API.CONSUMER.CREATE.S.C",
      R"({"stream_name":"S","config":{"name":"C","durable_name":"C","ack_policy":"explicit"}})", "_INBOX.r");
  EXPECT_THAT(with_storage.receive().payload, HasSubstr("\"name\":\"C\""));
  with_storage.send("PUB big 4097\r\n");  // the announced size is enough for the server to refuse
  EXPECT_THAT(with_storage.receive().payload, HasSubstr("Maximum Payload Violation"));

  RawClient without(*server);
  ASSERT_EQ(without.login(user_of(platform, user), user), "PONG");
  without.subscribe("_INBOX.r");
  without.publish("$JS.API.INFO", "", "_INBOX.r");
  const Message answer = without.receive();
  EXPECT_THAT(answer.headers + answer.payload, ::testing::AnyOf(HasSubstr("503"), HasSubstr("not enabled")));
}

TEST_F(OperatorMode, revoked_tokens_are_refused_and_later_ones_are_not) {
  const Nkey user = Nkey::generate(KeyKind::user);
  const Nkey other = Nkey::generate(KeyKind::user);
  server->restart(config({{user.public_key(), now() + seconds(1)}}));
  EXPECT_THAT(RawClient(*server).login(tenant_user(user), user), HasSubstr("-ERR"));
  EXPECT_EQ(RawClient(*server).login(tenant_user(other), other), "PONG");
  EXPECT_EQ(
      RawClient(*server).login(mint(UserClaims{"mate-7", user.public_key(), tenant.public_key(), {}, {}},
                                    tenant_signer, now() + seconds(9)),
                               user),
      "PONG");
}

class Callout : public OperatorMode {
 protected:
  /// Starts a login with credentials and lets `answer` decide; returns what the client got.
  template <class Answer>
  std::string login_through_callout(const Answer& answer) {
    RawClient service(*server);
    EXPECT_EQ(service.login(user_of(callout, sts), sts), "PONG");
    service.subscribe("$SYS.REQ.USER.AUTH");
    EXPECT_EQ(service.ping(), "PONG");

    const Nkey sentinel = Nkey::generate(KeyKind::user);
    UserClaims claims{.name = "sentinel", .subject = sentinel.public_key(), .permissions = Permissions{}};
    claims.bearer = true;
    const std::string sentinel_jwt = mint(claims, callout, now());
    std::string outcome;
    std::jthread client([&] {
      RawClient mate(*server);
      const Nkey own = Nkey::generate(KeyKind::user);
      outcome = mate.login(
          {{"jwt", sentinel_jwt}, {"user", "api-key"}, {"pass", "i365_secret"}, {"nkey", own.public_key()}},
          &own);
      if (outcome != "PONG") return;
      mate.subscribe("_INBOX_mate-9.x");
      mate.publish("mate.mate-9.hi", "hi");
      outcome = mate.ping();
    });

    const Message message = service.receive();
    const std::string key_header = "Nats-Server-Xkey: ";
    const std::size_t at = message.headers.find(key_header);
    const std::string server_xkey =
        at == std::string::npos ? "" : message.headers.substr(at + key_header.size(), 56);
    const auto text = sts_xkey.open(message.payload, server_xkey);
    EXPECT_TRUE(text) << "the request is sealed to us";
    const auto request = read_authorization_request(text.value_or(""), now());
    EXPECT_TRUE(request) << (request ? "" : request.error().detail);
    EXPECT_EQ(request->server_id, std::string_view(service.info().at("server_id").as_string()));
    EXPECT_EQ(request->server_xkey, server_xkey);
    EXPECT_EQ(request->user, "api-key");
    EXPECT_EQ(request->pass, "i365_secret");
    EXPECT_EQ(request->client_host, "127.0.0.1");
    EXPECT_EQ(request->client_kind, "nats");
    EXPECT_TRUE(request->proves_nkey());
    AuthorizationResponse response{.user_nkey = request->user_nkey, .server_id = request->server_id};
    answer(response);
    service.publish(message.reply, *sts_xkey.seal(mint(response, callout, now()), server_xkey));
    client.join();
    return outcome;
  }
};

TEST_F(Callout, sealed_answer_places_the_mate_in_its_tenant_with_its_permissions) {
  EXPECT_EQ(login_through_callout([&](AuthorizationResponse& response) {
              UserClaims claims{"mate-9", response.user_nkey, tenant.public_key(), now() + seconds(60),
                                Permissions{{"mate.mate-9.>"}, {"_INBOX_mate-9.>"}, 1, seconds(5)}};
              response.user_jwt = mint(claims, tenant_signer, now());
            }),
            "PONG");
}

TEST_F(Callout, error_answer_refuses_at_once) {
  EXPECT_THAT(login_through_callout([](AuthorizationResponse& response) { response.error = "key.unknown"; }),
              HasSubstr("Authorization Violation"));
  // The server refuses the client first and logs the reason afterwards.
  const auto give_up = std::chrono::steady_clock::now() + seconds(5);
  while (server->output().find("key.unknown") == std::string::npos &&
         std::chrono::steady_clock::now() < give_up)
    std::this_thread::yield();
  EXPECT_THAT(server->output(), HasSubstr("returned an error: key.unknown"));
}

TEST_F(Callout, user_token_for_an_account_that_is_not_allowed_is_refused) {
  EXPECT_THAT(login_through_callout([&](AuthorizationResponse& response) {
                response.user_jwt =
                    mint(UserClaims{.name = "intruder", .subject = response.user_nkey}, platform, now());
              }),
              HasSubstr("Authorization Violation"));
}

}  // namespace
}  // namespace intra365::crypto
