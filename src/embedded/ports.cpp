#include "embedded/ports.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/ip/address.hpp>
#include <cctype>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <sstream>

namespace intra365::embedded {
namespace fs = std::filesystem;
namespace asio = boost::asio;

namespace {

std::optional<asio::ip::address> parse_host(const std::string& host) {
  if (host == "localhost") return asio::ip::address_v4::loopback();
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  if (error) return std::nullopt;
  return address;
}

/// First port of the range for outgoing connections.
int first_outgoing_port() {
  int first = 0;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> first;
  return first > 12000 ? first : 32768;
}

/// Inode of the socket that listens on `port`; 0 when there is none in this table.
unsigned long listening_inode(const char* table, std::uint16_t port) {
  constexpr std::string_view kListening = "0A";
  std::ifstream lines(table);
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, queues, timer, retransmits;
    unsigned long uid = 0, timeout = 0, inode = 0;
    fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
    const auto colon = local.rfind(':');
    if (state != kListening || colon == std::string::npos) continue;
    unsigned number = 0;
    std::from_chars(local.data() + colon + 1, local.data() + local.size(), number, 16);
    if (number == port) return inode;
  }
  return 0;
}

/// `name (pid 123)` of the process that has the socket; empty when we may not see it.
std::string owner_of(unsigned long inode) {
  const auto wanted = "socket:[" + std::to_string(inode) + "]";
  std::error_code error;
  for (fs::directory_iterator process("/proc", error), end; !error && process != end;
       process.increment(error)) {
    const auto pid = process->path().filename().string();
    if (!std::isdigit(static_cast<unsigned char>(pid.front()))) continue;
    std::error_code hidden;
    for (fs::directory_iterator file(process->path() / "fd", hidden); !hidden && file != end;
         file.increment(hidden)) {
      std::error_code gone;
      if (fs::read_symlink(file->path(), gone) != wanted) continue;
      std::ifstream command(process->path() / "comm");
      std::string name;
      std::getline(command, name);
      return name + " (pid " + pid + ")";
    }
  }
  return {};
}

}  // namespace

bool is_loopback(const std::string& host) {
  const auto address = parse_host(host);
  return address && address->is_loopback();
}

Result<void> check_host(const std::string& host) {
  if (!parse_host(host))
    return fail(errors::bad_address,
                "'" + host.substr(0, 64) + "': " + std::string(errors::bad_address.meaning));
  return {};
}

std::string local_host(const std::string& host) {
  const auto address = parse_host(host);
  if (!address || host == "localhost") return host;
  if (address->is_unspecified()) return address->is_v6() ? "[::1]" : "127.0.0.1";
  return address->is_v6() ? "[" + host + "]" : host;
}

bool is_free(const std::string& host, std::uint16_t port) {
  const auto address = parse_host(host);
  if (!address) return false;
  const int family = address->is_v6() ? AF_INET6 : AF_INET;
  const int socket = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (socket < 0) return false;
  const int on = 1;
  ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  bool bound = false;
  if (family == AF_INET6) {
    sockaddr_in6 target{};
    target.sin6_family = AF_INET6;
    target.sin6_port = htons(port);
    const auto bytes = address->to_v6().to_bytes();
    std::copy(bytes.begin(), bytes.end(), target.sin6_addr.s6_addr);
    bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0;
  } else {
    sockaddr_in target{};
    target.sin_family = AF_INET;
    target.sin_port = htons(port);
    target.sin_addr.s_addr = htonl(address->to_v4().to_uint());
    bound = ::bind(socket, reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0;
  }
  // Only listening finds the other listener when both have set SO_REUSEADDR.
  const bool listens = bound && ::listen(socket, 1) == 0;
  ::close(socket);
  return listens;
}

Result<std::uint16_t> free_port(const std::string& host) {
  const int end = first_outgoing_port();
  thread_local std::mt19937 generator{std::random_device{}()};
  std::uniform_int_distribution<int> choose(std::max(1024, end - 20000), end - 1);
  for (int attempt = 0; attempt < 200; ++attempt) {
    const auto port = static_cast<std::uint16_t>(choose(generator));
    if (is_free(host, port)) return port;
  }
  return fail(errors::port_taken, "No free port was found on " + host + ".");
}

Error port_taken(const std::string& host, std::uint16_t port) {
  auto inode = listening_inode("/proc/net/tcp", port);
  if (inode == 0) inode = listening_inode("/proc/net/tcp6", port);
  const auto owner = inode == 0 ? std::string() : owner_of(inode);
  const auto who = owner.empty() ? "another program" : owner;
  return Error(errors::port_taken, "Port " + std::to_string(port) + " of " + host + " is taken by " + who +
                                       "; stop it, or choose another port (0 picks a free one).");
}

}  // namespace intra365::embedded
