// A certificate authority of the test's own, a certificate of it for 127.0.0.1 and localhost, and an
// authority that nobody trusts; made with the openssl command.
#pragma once
#include "tests/support/process.hpp"

namespace intra365::testing {

/// Files: ca.pem, server.pem, server.key, other.pem, other.key. Throws std::runtime_error where openssl
/// fails.
class TestCertificates {
 public:
  TestCertificates();
  std::string file(const char* name) const { return (dir_.path() / name).string(); }

 private:
  TempDir dir_;
};

}  // namespace intra365::testing
