// The c15t consent backend as a peer: its server in Node on a database of its own in our PostgreSQL.
#pragma once
#include <sys/types.h>

#include <string>

namespace intra365::bench {

/// Started by the constructor; `port` stays 0 where it cannot be had.
class C15t {
 public:
  /// `postgres`: a URL of a server where databases may be made.
  explicit C15t(const std::string& postgres);
  ~C15t();
  C15t(const C15t&) = delete;
  C15t& operator=(const C15t&) = delete;
  unsigned short port() const { return port_; }

 private:
  pid_t pid_ = 0;
  unsigned short port_ = 0;
};

}  // namespace intra365::bench
