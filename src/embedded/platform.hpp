// A platform's two servers on one machine, below one data directory: made on first use, started together,
// kept running, taken down in order. What `intra365 up` stands on; services know nothing of it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async/task.hpp"
#include "embedded/errors.hpp"
#include "embedded/supervisor.hpp"
#include "platform/config.hpp"

namespace intra365::embedded {

struct Options {
  std::filesystem::path data_dir;       ///< empty: default_data_directory()
  std::string nats_host = "127.0.0.1";  ///< of NATS, WebSocket and MQTT; an IP address or localhost
  std::uint16_t nats_port = 4222;       ///< 0 picks a free one, here and below
  std::uint16_t websocket_port = 0;
  std::uint16_t mqtt_port = 0;
  std::uint16_t postgres_port = 0;  ///< on 127.0.0.1
  /// A temporary directory, removed by stop, and free ports, whatever stands above.
  bool ephemeral = false;
  /// What happens, for people: one short sentence without secrets for each step.
  std::function<void(std::string_view step)> on_progress;
  /// Told when `nats-server` or `postgres` goes down or comes up again.
  std::function<void(std::string_view server, ServerState state, std::string_view reason)> on_state;
};

/// What services need to reach the servers, and clients on this machine. Secrets are in files of mode 0600,
/// except the DSNs, which hold their password: never print them.
struct Endpoints {
  std::filesystem::path data_dir;
  std::string nats_url;        ///< nats:// on loopback, tls:// elsewhere
  std::string websocket_url;   ///< ws:// or wss://
  std::string mqtt_url;        ///< mqtt:// or mqtts://
  std::string monitoring_url;  ///< http:// on loopback: varz, connz, jsz
  std::filesystem::path ca_file;
  std::filesystem::path server_certificate_file,
      server_key_file;  ///< also for a gateway that is not on loopback

  std::filesystem::path platform_creds_file;  ///< all services: unrestricted user of PLATFORM
  std::filesystem::path auth_creds_file;      ///< the auth callout: the only user of AUTH
  std::filesystem::path system_creds_file;    ///< accounts and disconnects: unrestricted user of SYS

  std::filesystem::path operator_signing_seed_file;  ///< signs tenants' accounts
  std::filesystem::path auth_signing_seed_file;      ///< signs the callout's answers
  std::filesystem::path platform_signing_seed_file;  ///< signs direct users of PLATFORM
  std::filesystem::path guest_signing_seed_file;     ///< signs users of GUEST
  std::filesystem::path callout_xkey_seed_file;
  std::filesystem::path key_encryption_key_file;  ///< 32 bytes in base64url
  std::string operator_key, system_account, auth_account, platform_account, guest_account;  ///< public keys

  std::string owner_dsn;                 ///< migrations
  std::string replication_dsn;           ///< reads the change log
  std::string service_dsn;               ///< services; bound by row-level security
  std::string admin_dsn;                 ///< superuser over TCP, for psql and endpoints.json
  std::filesystem::path admin_key_file;  ///< where the first start of the STS leaves the operator's API key
};

/// Fills in what a platform process reads of its servers: `nats`, `postgres`, `keys`, `admin_key_file`.
void apply(const Endpoints& endpoints, platform::Config& config);

/// Owned by the thread that runs `executor`, which must live as long as the servers are wanted: the kernel
/// ends them when that thread ends, whatever way. Stop it before it is destroyed.
class Embedded {
 public:
  Embedded(asio::any_io_executor executor, Options options);
  ~Embedded();
  Embedded(const Embedded&) = delete;
  Embedded& operator=(const Embedded&) = delete;

  /// Returns once both servers answer: under 1.5 s with a directory that is in use, some seconds with an
  /// empty one. On failure nothing is left running. Fails with the codes of errors.hpp.
  Task<Endpoints> start(SteadyTime deadline);
  /// Writes endpoints.json for clients; call it once everything answers.
  Result<void> publish_endpoints(const std::string& gateway_url, const std::string& version) const;
  /// Removes endpoints.json, stops both servers (kills them at `deadline`) and lets go of the directory.
  Task<> stop(SteadyTime deadline);

  /// Each server and whether it answers.
  std::vector<std::pair<std::string, bool>> readiness() const;
  /// How often servers had to be started again.
  std::uint64_t restarts() const;
  /// Processes of nats-server and PostgreSQL; 0 while one is down.
  pid_t nats_pid() const;
  pid_t postgres_pid() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace intra365::embedded
