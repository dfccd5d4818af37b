#include "embedded/doctor.hpp"

#include "async/task.hpp"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/json/parse.hpp>

#include "crypto/certificate.hpp"
#include "embedded/data_directory.hpp"
#include "embedded/file.hpp"
#include "embedded/keys.hpp"
#include "embedded/locate.hpp"
#include "embedded/unix_user.hpp"

namespace intra365::embedded {
namespace {

Check good(std::string name, std::string message) {
  return {std::move(name), true, std::move(message), {}};
}
Check bad(std::string name, std::string message, std::string mend) {
  return {std::move(name), false, std::move(message), std::move(mend)};
}
Check bad(std::string name, const Error& error, const ErrorCode& declared) {
  return bad(std::move(name), error.code + ": " + error.detail, std::string(declared.meaning));
}

Check check_runtime() {
  const auto runtime = locate();
  if (!runtime) return bad("runtime", runtime.error(), errors::runtime_missing);
  return good("runtime", fmt::format("nats-server {} ({}), PostgreSQL {} ({})", runtime->nats_version,
                                     runtime->nats_server.string(), runtime->postgres_version,
                                     runtime->postgres_home.string()));
}

Check check_directory(const Paths& paths) {
  struct stat status {};
  if (::stat(paths.data.c_str(), &status) != 0)
    return good("data_directory", paths.data.string() + " is not there yet; `intra365 up` makes it");
  if (status.st_uid != ::geteuid()) {
    return bad(
        "data_directory",
        fmt::format("{} belongs to user {}, we are user {}", paths.data.string(), status.st_uid, ::geteuid()),
        std::string(errors::data_other_user.meaning));
  }
  if ((status.st_mode & 0022) != 0) {
    return bad("data_directory", paths.data.string() + " can be written by other users",
               "chmod 0700 " + paths.data.string());
  }
  const auto layout = read_file(paths.version());
  if (layout && std::atoi(layout->c_str()) > data_layout) {
    return bad("data_directory", paths.data.string() + " has layout " + *layout,
               std::string(errors::data_newer_version.meaning));
  }
  const int pid = running_in(paths.data);
  return good("data_directory",
              paths.data.string() + (pid == 0 ? ", not in use" : fmt::format(", in use by process {}", pid)));
}

Check check_disk(const Paths& paths) {
  constexpr std::uintmax_t kComfortableBytes = 1u << 30;
  auto existing = paths.data;
  std::error_code error;
  while (!fs::exists(existing, error) && existing.has_relative_path()) existing = existing.parent_path();
  const auto space = fs::space(existing, error);
  if (error)
    return bad("disk", existing.string() + ": " + error.message(),
               std::string(errors::data_unwritable.meaning));
  const auto message = fmt::format("{} MB free below {}", space.available >> 20, existing.string());
  if (space.available < min_free_bytes)
    return bad("disk", message, std::string(errors::data_disk_full.meaning));
  if (space.available < kComfortableBytes)
    return bad("disk", message,
               "Free at least 1 GB: the platform stops taking messages when the disk is full.");
  return good("disk", message);
}

Check check_keys(const Paths& paths) {
  std::error_code error;
  if (!fs::exists(paths.version(), error)) return good("keys", "not made yet");
  if (!fs::exists(paths.keys(), error) && !fs::exists(paths.postgres_data(), error))
    return good("keys", "not made yet");
  if (!fs::exists(paths.keys(), error))
    return bad("keys", paths.keys().string() + " is missing", std::string(errors::data_keys_lost.meaning));
  const auto keys = load_or_make_keys(paths);
  if (!keys) return bad("keys", keys.error(), errors::data_keys_lost);
  return good("keys", "complete and private; keep a copy of " + paths.keys().string() + " where it is safe");
}

Check check_certificates(const Paths& paths, Timestamp now) {
  constexpr std::chrono::days kSoon{30};
  std::error_code error;
  if (!fs::exists(paths.server_certificate(), error)) return good("certificates", "not made yet");
  const auto text = read_file(paths.server_certificate());
  const auto facts = text ? crypto::read_certificate(*text) : fail(text.error());
  if (!facts) return bad("certificates", facts.error().detail, "Restart `intra365 up`: it makes a new one.");
  const auto message = "the server's certificate is valid until " + format_rfc3339(facts->expires_at);
  if (facts->expires_at < now + kSoon)
    return bad("certificates", message,
               "Restart `intra365 up`: it renews certificates that end within 30 days.");
  return good("certificates", message);
}

Check check_postgres_user(const Paths& paths) {
  const auto user = unprivileged_user();
  if (!user) return bad("postgres_user", user.error(), errors::no_unprivileged_user);
  if (!*user) return good("postgres_user", "PostgreSQL runs as the user that starts the platform");
  std::error_code error;
  const auto there = fs::canonical(paths.postgres(), error);
  return good("postgres_user", fmt::format("started as root; PostgreSQL runs as user {}{}", (*user)->uid,
                                           error ? std::string() : ", its cluster is in " + there.string()));
}

Check check_open_files() {
  constexpr rlim_t kEnough = 4096;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const auto message =
      fmt::format("{} open files may be reached", static_cast<std::uint64_t>(limit.rlim_max));
  if (limit.rlim_max < kEnough)
    return bad("sockets", message, "Raise the limit (ulimit -Hn 65536): each connection is an open file.");
  return good("sockets", message);
}

/// True when something answers at `host:port` of a URL within two seconds; with `greeting`, by these bytes.
bool answers(std::string_view url, const std::string& greeting) {
  if (url.find("//") == std::string_view::npos) return false;
  const auto at = url.rfind('@');
  auto authority = url.substr(at == std::string_view::npos ? url.find("//") + 2 : at + 1);
  authority = authority.substr(0, authority.find('/'));
  const auto colon = authority.rfind(':');
  if (colon == std::string_view::npos) return false;
  auto host = std::string(authority.substr(0, colon));
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error) return false;
  const auto port = static_cast<std::uint16_t>(std::atoi(std::string(authority.substr(colon + 1)).c_str()));
  asio::io_context loop;
  asio::ip::tcp::socket socket(loop);
  std::string received;
  bool reached = false;
  socket.async_connect({address, port}, [&](boost::system::error_code failed) {
    if (failed) return;
    if (greeting.empty()) {
      reached = true;
      return;
    }
    asio::async_read_until(socket, asio::dynamic_buffer(received, 65536), "\r\n",
                           [&](boost::system::error_code cut, std::size_t) {
                             reached = !cut && received.starts_with(greeting);
                           });
  });
  loop.run_for(std::chrono::seconds(2));
  return reached;
}

Check check_servers(const Paths& paths) {
  std::error_code error;
  if (running_in(paths.data) == 0) return good("servers", "not running");
  const auto text = read_file(paths.endpoints());
  if (!text)
    return bad("servers", "the platform is starting, or stops: there is no endpoints.json",
               "Wait a moment; see " + paths.logs().string() + " when it stays so.");
  boost::system::error_code malformed;
  const auto content = boost::json::parse(*text, malformed);
  const auto url = [&](const char* name) -> std::string {
    const auto* value = content.is_object() ? content.as_object().if_contains(name) : nullptr;
    return value && value->is_string() ? std::string(value->as_string()) : std::string();
  };
  if (malformed) return bad("servers", "endpoints.json is damaged", "Restart `intra365 up`.");
  const bool nats = answers(url("nats"), "INFO "), postgres = answers(url("postgres"), "");
  if (nats && postgres) return good("servers", "nats-server and PostgreSQL answer");
  return bad(
      "servers",
      fmt::format("{} does not answer", nats       ? "PostgreSQL"
                                        : postgres ? "nats-server"
                                                   : "neither server"),
      "It is started again by itself; when that does not help, " + paths.logs().string() + " says why.");
}

}  // namespace

std::vector<Check> doctor(const fs::path& data_directory, Timestamp now) {
  std::error_code error;
  const Paths paths(fs::weakly_canonical(
      fs::absolute(data_directory.empty() ? default_data_directory() : data_directory), error));
  return {check_runtime(),
          check_directory(paths),
          check_disk(paths),
          check_keys(paths),
          check_certificates(paths, now),
          check_postgres_user(paths),
          check_open_files(),
          check_servers(paths)};
}

}  // namespace intra365::embedded
