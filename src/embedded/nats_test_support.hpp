// A nats-server as the embedded platform runs it, without PostgreSQL, and an auth callout that a test
// scripts.
#pragma once
#include <fmt/format.h>

#include "crypto/encoding.hpp"
#include "embedded/certificates.hpp"
#include "embedded/data_directory.hpp"
#include "embedded/embedded_test_support.hpp"
#include "embedded/keys.hpp"
#include "embedded/nats_config.hpp"
#include "embedded/ports.hpp"
#include "platform/accounts.hpp"

namespace intra365::embedded {

/// An account that was pushed while the server ran.
struct TestAccount {
  crypto::Nkey root = crypto::Nkey::generate(crypto::KeyKind::account);
  crypto::Nkey signing = crypto::Nkey::generate(crypto::KeyKind::account);
  std::string key() const { return root.public_key(); }
};

class EmbeddedNats : public ::testing::Test {
 protected:
  EmbeddedNats()
      : directory(DataDirectory::open(temp.path() / "data").value()),
        paths(directory.paths()),
        keys(load_or_make_keys(paths).value()),
        files(paths) {}

  void SetUp() override { start(); }
  void TearDown() override { stop(); }

  void start() {
    addresses.host = "127.0.0.1";
    for (auto* port :
         {&addresses.port, &addresses.websocket_port, &addresses.mqtt_port, &addresses.monitoring_port}) {
      if (*port == 0) *port = free_port("127.0.0.1").value();
    }
    ASSERT_TRUE(
        write_file(paths.nats_config(), nats_config(paths, keys, addresses, system_clock().now()).value()));
    Supervisor::Hooks hooks;
    hooks.ready = [this](SteadyTime deadline) { return nats_ready(addresses, deadline); };
    server =
        std::make_unique<Supervisor>(loop.get_executor(), nats_process(paths, keys, locate().value()), hooks);
    const auto started = run(loop, server->start(in_seconds(30)));
    ASSERT_TRUE(started) << started.error().detail;
    system = log_in(read_creds(files.system_creds()));
    platform = log_in(read_creds(files.platform_creds()));
  }
  void stop() {
    callout.reset();
    system.reset();
    platform.reset();
    loop.restart();
    loop.poll();
    if (server) static_cast<void>(run(loop, server->stop(in_seconds(20))));
    server.reset();
  }

  std::unique_ptr<nats::Connection> log_in(nats::Credentials credentials) {
    auto connection = connect(loop, addresses.nats_url(), std::move(credentials));
    if (!connection) ADD_FAILURE() << connection.error().code << ": " << connection.error().detail;
    return connection ? *std::move(connection) : nullptr;
  }

  /// Pushes an account as the STS does; the text is the server's answer.
  std::string push(const crypto::AccountClaims& claims) {
    const auto signer = crypto::Nkey::from_seed(keys.operator_signing_seed).value();
    const auto jwt = crypto::mint(claims, signer, system_clock().now());
    const nats::HeaderBlock none;
    const auto reply = run(loop, system->request("$SYS.REQ.CLAIMS.UPDATE", jwt, none, in_seconds(10)));
    return reply ? std::string(reply->payload()) : reply.error().detail;
  }
  TestAccount make_tenant(const std::string& name) {
    TestAccount tenant;
    const auto reply = push(
        platform::tenant_account(name, tenant.key(), tenant.signing.public_key(), keys.public_keys.platform));
    EXPECT_NE(reply.find("\"code\":200"), std::string::npos) << reply;
    return tenant;
  }
  static std::string user_jwt(const TestAccount& account, const std::string& user,
                              std::optional<crypto::Permissions> permissions = std::nullopt) {
    crypto::UserClaims claims;
    claims.name = "mate-1";
    claims.subject = user;
    claims.issuer_account = account.key();
    claims.permissions = std::move(permissions);
    return crypto::mint(claims, account.signing, system_clock().now());
  }
  /// A direct user of the account.
  std::unique_ptr<nats::Connection> user_of(const TestAccount& account) {
    const auto user = crypto::Nkey::generate(crypto::KeyKind::user);
    nats::Credentials credentials;
    credentials.jwt = user_jwt(account, user.public_key());
    credentials.nkey_seed = user.seed();
    return log_in(std::move(credentials));
  }

  /// The reply's text, or the error's code.
  std::string ask(nats::Connection& connection, const std::string& subject, const std::string& payload = {}) {
    const nats::HeaderBlock none;
    const auto reply = run(loop, connection.request(subject, payload, none, in_seconds(5)));
    return reply ? std::string(reply->payload()) : reply.error().code;
  }
  void flush(nats::Connection& connection) { EXPECT_TRUE(run(loop, connection.flush(in_seconds(5)))); }

  /// A service of the platform that answers with the subject it saw.
  nats::Subscription serve(const std::string& subject) {
    auto subscription = platform->subscribe(subject, [this](const nats::MessageView& message) {
      static_cast<void>(platform->publish(message.reply, message.subject));
    });
    flush(*platform);
    return *std::move(subscription);
  }

  /// Answers the auth callout with a user in `account`, and keeps what was asked.
  void answer_callout(const TestAccount& account,
                      std::optional<crypto::Permissions> permissions = std::nullopt) {
    callout = log_in(read_creds(files.auth_creds()));
    auto xkey = crypto::Xkey::from_seed(secret(files.callout_xkey_seed())).value();
    auto signer = crypto::Nkey::from_seed(secret(files.auth_signing_seed())).value();
    auto handler = [this, account, permissions, xkey, signer](const nats::MessageView& message) {
      const std::string server_xkey(message.headers.get("Nats-Server-Xkey"));
      const auto request_jwt = xkey.open(message.payload, server_xkey).value();
      request_claims = crypto::read_nats_jwt(request_jwt).value();
      request = crypto::read_authorization_request(request_jwt, system_clock().now()).value();
      crypto::AuthorizationResponse response;
      response.user_nkey = request->user_nkey;
      response.server_id = request->server_id;
      response.user_jwt = user_jwt(account, request->user_nkey, permissions);
      const auto sealed =
          xkey.seal(crypto::mint(response, signer, system_clock().now()), server_xkey).value();
      static_cast<void>(callout->publish(message.reply, sealed));
    };
    callout_subscription = callout->subscribe("$SYS.REQ.USER.AUTH", std::move(handler), "sts").value();
    flush(*callout);
  }

  static std::string secret(const fs::path& file) {
    auto text = read_file(file).value();
    while (text.ends_with('\n')) text.pop_back();
    return text;
  }

  testing::TempDir temp;
  asio::io_context loop;
  DataDirectory directory;
  Paths paths;
  Keys keys;
  KeyFiles files;
  NatsAddresses addresses;
  std::unique_ptr<Supervisor> server;
  std::unique_ptr<nats::Connection> system, platform, callout;
  nats::Subscription callout_subscription;
  std::optional<crypto::AuthorizationRequest> request;  ///< the last one the callout saw
  std::optional<crypto::NatsJwt> request_claims;
};

}  // namespace intra365::embedded
