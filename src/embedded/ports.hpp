// TCP ports to listen on: finding free ones, and saying who holds one that is not.
#pragma once
#include <cstdint>
#include <string>

#include "embedded/errors.hpp"

namespace intra365::embedded {

/// True for 127.0.0.0/8, ::1 and `localhost`: nobody outside this machine can connect.
bool is_loopback(const std::string& host);
/// Fails with `port.bad_address` unless `host` is an IP address or `localhost`.
Result<void> check_host(const std::string& host);
/// Where a client on this machine connects for a server that listens on `host`; an IPv6 address in brackets.
std::string local_host(const std::string& host);

/// True when a server could listen there now.
bool is_free(const std::string& host, std::uint16_t port);
/// A port that is free now, below the range from which the kernel picks for outgoing connections: so it is
/// still free after the server behind it was restarted. Another program may take it before you do.
Result<std::uint16_t> free_port(const std::string& host);
/// `port.taken`, with the name and pid of who listens, where the system tells us.
Error port_taken(const std::string& host, std::uint16_t port);

}  // namespace intra365::embedded
