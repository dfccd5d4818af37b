#include "embedded/nats_config.hpp"

#include <fmt/format.h>

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>

#include "crypto/nats_jwt.hpp"
#include "embedded/file.hpp"
#include "embedded/ports.hpp"
#include "platform/accounts.hpp"

namespace intra365::embedded {
namespace {

constexpr const char* kJetstreamKeyVariable = "INTRA365_JETSTREAM_KEY";
constexpr auto kReadyPoll = std::chrono::milliseconds(5);

/// A path as a quoted string of the configuration language.
Result<std::string> quoted(const fs::path& path) {
  const auto text = path.string();
  if (text.find_first_of("\"\\\n") != std::string::npos) {
    return fail(errors::data_unwritable,
                text + ": quotes, backslashes and line ends cannot stand in a data directory's path");
  }
  return '"' + text + '"';
}

struct PreloadedAccount {
  std::string key, jwt;
};

Result<std::vector<PreloadedAccount>> preloaded_accounts(const Keys& keys, Timestamp now) {
  const auto& known = keys.public_keys;
  TRY(const auto signer, crypto::Nkey::from_seed(keys.operator_signing_seed));
  crypto::AccountClaims system;
  system.name = "SYS";
  system.subject = known.system;
  system.signing_keys = {keys.system_signing_key};
  crypto::AccountClaims auth;
  auth.name = "AUTH";
  auth.subject = known.auth;
  auth.signing_keys = {known.auth_signing};
  auth.callout_users = {known.callout_user};
  auth.callout_allowed_accounts = {"*"};
  auth.callout_xkey = known.callout_xkey;
  const auto services = platform::platform_account(known.platform, known.platform_signing);
  const auto guest = platform::guest_account("GUEST", known.guest, known.guest_signing, known.platform);
  std::vector<PreloadedAccount> accounts;
  for (const auto& claims : {system, auth, services, guest}) {
    accounts.push_back({claims.subject, crypto::mint(claims, signer, now)});
  }
  return accounts;
}

}  // namespace

bool NatsAddresses::uses_tls() const {
  return !is_loopback(host);
}
std::string NatsAddresses::nats_url() const {
  return fmt::format("{}://{}:{}", uses_tls() ? "tls" : "nats", local_host(host), port);
}
std::string NatsAddresses::websocket_url() const {
  return fmt::format("{}://{}:{}", uses_tls() ? "wss" : "ws", local_host(host), websocket_port);
}
std::string NatsAddresses::mqtt_url() const {
  return fmt::format("{}://{}:{}", uses_tls() ? "mqtts" : "mqtt", local_host(host), mqtt_port);
}

Result<std::string> sentinel_jwt(const Keys& keys, Timestamp now) {
  TRY(const auto signer, crypto::Nkey::from_seed(keys.auth_signing_seed));
  crypto::UserClaims claims;
  claims.name = "sentinel";
  claims.subject = keys.public_keys.sentinel_user;
  claims.issuer_account = keys.public_keys.auth;
  claims.permissions.emplace();
  claims.bearer = true;
  return crypto::mint(claims, signer, now);
}

Result<std::string> nats_config(const Paths& paths, const Keys& keys, const NatsAddresses& addresses,
                                Timestamp now, const NatsLimits& limits) {
  TRY(const auto sentinel, sentinel_jwt(keys, now));
  TRY(const auto accounts, preloaded_accounts(keys, now));
  TRY(const auto store_directory, quoted(paths.nats_jetstream()));
  TRY(const auto accounts_directory, quoted(paths.nats_accounts()));
  TRY(const auto log_file, quoted(paths.nats_log()));
  TRY(const auto certificate, quoted(paths.server_certificate()));
  TRY(const auto key, quoted(paths.server_key()));
  const auto host = addresses.host == "localhost" ? std::string("127.0.0.1") : addresses.host;
  const auto tls = addresses.uses_tls()
                       ? fmt::format("tls {{ cert_file: {}, key_file: {}, timeout: 5 }}", certificate, key)
                       : std::string();

  std::string text = "# Written by intra365 at every start; changes are lost.\n";
  auto out = std::back_inserter(text);
  fmt::format_to(out, "server_name: intra365\nhost: \"{}\"\nport: {}\nhttp: \"127.0.0.1:{}\"\n{}\n", host,
                 addresses.port, addresses.monitoring_port, tls);
  fmt::format_to(out, "logfile: {}\nlogfile_size_limit: {}\nlogfile_max_num: 4\n", log_file,
                 limits.log_size_bytes);
  fmt::format_to(out, "max_payload: {}\nmax_connections: {}\nmax_pending: {}\nwrite_deadline: \"{}s\"\n",
                 limits.max_payload_bytes, limits.max_connections, limits.max_pending_bytes,
                 limits.write_deadline_seconds);
  fmt::format_to(out, "authorization {{ timeout: {} }}\n", limits.auth_timeout_seconds);
  fmt::format_to(out,
                 "jetstream {{\n  store_dir: {}\n  sync_interval: always\n  cipher: chacha\n  key: ${}\n}}\n",
                 store_directory, kJetstreamKeyVariable);
  fmt::format_to(out, "websocket {{ host: \"{}\", port: {}, {}, compression: true }}\n", host,
                 addresses.websocket_port, tls.empty() ? "no_tls: true" : tls);
  fmt::format_to(out, "mqtt {{ host: \"{}\", port: {}{}{} }}\n", host, addresses.mqtt_port,
                 tls.empty() ? "" : ", ", tls);
  fmt::format_to(out, "operator: \"{}\"\nsystem_account: {}\ndefault_sentinel: \"{}\"\n", keys.operator_jwt,
                 keys.public_keys.system, sentinel);
  fmt::format_to(out, "resolver {{ type: full, dir: {}, allow_delete: true, interval: \"2m\" }}\n",
                 accounts_directory);
  text += "resolver_preload {\n";
  for (const auto& account : accounts) fmt::format_to(out, "  {}: \"{}\"\n", account.key, account.jwt);
  text += "}\n";
  return text;
}

ProcessSpec nats_process(const Paths& paths, const Keys& keys, const Runtime& runtime) {
  ProcessSpec spec;
  spec.name = "nats-server";
  spec.arguments = {runtime.nats_server.string(), "--config", paths.nats_config().string()};
  spec.environment = {"PATH=/usr/bin:/bin", std::string(kJetstreamKeyVariable) + "=" + keys.jetstream_key};
  spec.log_file = paths.nats_output();
  spec.own_log_file = paths.nats_log();
  spec.death_signal = SIGKILL;  // it writes every message through: nothing to save
  spec.stop_signal = SIGTERM;
  return spec;
}

namespace {

/// One try: connects and reads the first line, which every NATS server sends unasked.
Task<> greet(std::string host, std::uint16_t port) {
  constexpr std::size_t kMaxInfoBytes = 64u << 10;
  asio::ip::tcp::socket socket(co_await asio::this_coro::executor);
  boost::system::error_code error;
  const asio::ip::tcp::endpoint endpoint(
      asio::ip::make_address(host == "localhost" ? "127.0.0.1" : host, error), port);
  co_await socket.async_connect(endpoint, asio::redirect_error(asio::use_awaitable, error));
  std::string line;
  if (!error) {
    co_await asio::async_read_until(socket, asio::dynamic_buffer(line, kMaxInfoBytes), "\r\n",
                                    asio::redirect_error(asio::use_awaitable, error));
  }
  if (error || !line.starts_with("INFO ")) co_return fail(errors::server_failed);
  co_return Result<void>{};
}

}  // namespace

Task<> nats_ready(NatsAddresses addresses, SteadyTime deadline) {
  auto host = local_host(addresses.host);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  for (;;) {
    const auto greeted = co_await with_deadline(deadline, greet(host, addresses.port));
    if (greeted) co_return Result<void>{};
    if (std::chrono::steady_clock::now() >= deadline) co_return fail(intra365::errors::deadline);
    if (greeted.error().is(intra365::errors::cancelled)) co_return fail(greeted.error());
    co_await sleep_for(kReadyPoll);
  }
}

}  // namespace intra365::embedded
