// Every path of an embedded platform: all of it lies below one data directory.
#pragma once
#include <filesystem>
#include <utility>

namespace intra365::embedded {

struct Paths {
  explicit Paths(std::filesystem::path data_directory) : data(std::move(data_directory)) {}

  std::filesystem::path data;  ///< absolute

  std::filesystem::path lock() const { return data / "lock"; }
  std::filesystem::path version() const { return data / "version"; }
  std::filesystem::path endpoints() const { return data / "endpoints.json"; }
  std::filesystem::path admin_key() const { return data / "admin.key"; }
  std::filesystem::path logs() const { return data / "logs"; }

  std::filesystem::path keys() const { return data / "keys"; }
  std::filesystem::path root_keys() const {
    return keys() / "root";
  }  ///< belongs in a safe, not in a service

  std::filesystem::path tls() const { return data / "tls"; }
  std::filesystem::path ca_certificate() const { return tls() / "ca.pem"; }
  std::filesystem::path ca_key() const { return tls() / "ca.key"; }
  std::filesystem::path server_certificate() const { return tls() / "server.pem"; }
  std::filesystem::path server_key() const { return tls() / "server.key"; }

  std::filesystem::path nats() const { return data / "nats"; }
  std::filesystem::path nats_config() const { return nats() / "nats-server.conf"; }
  std::filesystem::path nats_accounts() const { return nats() / "accounts"; }
  std::filesystem::path nats_jetstream() const { return nats() / "jetstream"; }
  std::filesystem::path nats_log() const { return logs() / "nats-server.log"; }
  std::filesystem::path nats_output() const { return logs() / "nats-server.out"; }

  /// Maybe a link: the cluster lies elsewhere when the user that runs PostgreSQL cannot get in here.
  std::filesystem::path postgres() const { return data / "postgres"; }
  std::filesystem::path postgres_data() const { return postgres() / "data"; }
  std::filesystem::path postgres_log() const { return logs() / "postgres.log"; }
};

}  // namespace intra365::embedded
