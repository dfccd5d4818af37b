#include "postgres/conninfo.hpp"

#include <libpq-fe.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdlib>
#include <memory>

namespace intra365::postgres {
namespace {

constexpr std::size_t kMaxAddresses = 16;

std::vector<std::string> split(std::string_view list) {
  std::vector<std::string> parts;
  for (;;) {
    const auto comma = list.find(',');
    parts.emplace_back(list.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    list.remove_prefix(comma + 1);
  }
}

void append(std::string& list, std::string_view item, bool first) {
  if (!first) list += ',';
  list += item;
}

bool needs_lookup(const std::string& host) {
  if (host.empty() || host.starts_with('/') || host.starts_with('@')) return false;  // a unix socket
  boost::system::error_code error;
  asio::ip::make_address(host, error);
  return error.failed();
}

/// A unix socket, or an address of this machine.
bool is_near(const std::string& host) {
  if (host.empty() || host.starts_with('/') || host.starts_with('@') || host == "localhost") return true;
  boost::system::error_code error;
  const auto address = asio::ip::make_address(host, error);
  return !error && address.is_loopback();
}

}  // namespace

bool ConnectionTarget::stays_on_this_machine() const {
  if (find("service")) return false;  // a file of libpq's names the host
  for (const auto* keyword : {"host", "hostaddr"}) {
    const auto* list = find(keyword);
    if (list && !std::ranges::all_of(split(*list), is_near)) return false;
  }
  return true;
}

const std::string* ConnectionTarget::find(std::string_view keyword) const {
  for (std::size_t i = 0; i < keywords.size(); ++i) {
    if (keywords[i] == keyword) return &values[i];
  }
  return nullptr;
}

void ConnectionTarget::set(std::string_view keyword, std::string value) {
  if (const auto* present = find(keyword)) {
    values[static_cast<std::size_t>(present - values.data())] = std::move(value);
    return;
  }
  keywords.emplace_back(keyword);
  values.push_back(std::move(value));
}

void ConnectionTarget::set_default(std::string_view keyword, std::string value) {
  if (!find(keyword)) set(keyword, std::move(value));
}

Result<ConnectionTarget> parse_dsn(const std::string& dsn) {
  char* message = nullptr;
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(dsn.c_str(), &message), PQconninfoFree);
  if (message) PQfreemem(message);  // it quotes the string, which may hold the password
  if (!options) return fail(errors::unavailable, "the connection string of the database is not valid");
  ConnectionTarget target;
  for (const auto* option = options.get(); option->keyword; ++option) {
    if (option->val && *option->val) target.set(option->keyword, option->val);
  }
  // libpq would take these from the environment only later, where nobody looks at them.
  for (const auto& [keyword, variable] : {std::pair("host", "PGHOST"), {"hostaddr", "PGHOSTADDR"}}) {
    const char* value = std::getenv(variable);
    if (value && *value && !target.find("host") && !target.find("hostaddr")) target.set(keyword, value);
  }
  if (const char* service = std::getenv("PGSERVICE"); service && *service)
    target.set_default("service", service);
  if (!target.stays_on_this_machine()) target.set_default("sslmode", "verify-full");
  target.set("client_encoding", "UTF8");
  target.set_default("fallback_application_name", "intra365");
  // A peer that vanished without a word is found within seconds instead of a quarter of an hour.
  target.set_default("tcp_user_timeout", "10000");
  target.set_default("keepalives_idle", "30");
  target.set_default("keepalives_interval", "5");
  return target;
}

Task<ConnectionTarget> resolve_hosts(ConnectionTarget target) {
  const auto* host_list = target.find("host");
  if (!host_list || target.find("hostaddr")) co_return target;
  const auto hosts = split(*host_list);
  bool any = false;
  for (const auto& host : hosts) any = any || needs_lookup(host);
  if (!any) co_return target;

  const auto* port_list = target.find("port");
  const auto ports = split(port_list ? *port_list : "5432");
  if (ports.size() != 1 && ports.size() != hosts.size()) co_return target;  // libpq says what is wrong
  std::string all_hosts, all_addresses, all_ports;
  std::size_t count = 0;
  asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    std::vector<std::string> addresses;
    if (needs_lookup(hosts[i])) {
      boost::system::error_code error;
      const auto found =
          co_await resolver.async_resolve(hosts[i], "", asio::redirect_error(asio::use_awaitable, error));
      for (const auto& entry : found) addresses.push_back(entry.endpoint().address().to_string());
    } else {
      addresses.emplace_back();  // an address or a socket folder: libpq takes it from `host`
    }
    for (const auto& address : addresses) {
      if (count == kMaxAddresses) break;
      append(all_hosts, hosts[i], count == 0);
      append(all_addresses, address, count == 0);
      append(all_ports, ports.size() == 1 ? ports[0] : ports[i], count == 0);
      ++count;
    }
  }
  if (count == 0) co_return fail(errors::unavailable, "the name of the database host cannot be resolved");
  target.set("host", std::move(all_hosts));
  target.set("hostaddr", std::move(all_addresses));
  target.set("port", std::move(all_ports));
  co_return target;
}

}  // namespace intra365::postgres
