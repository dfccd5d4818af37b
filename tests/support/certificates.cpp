#include "tests/support/certificates.hpp"

#include <cstdlib>
#include <stdexcept>

namespace intra365::testing {

TestCertificates::TestCertificates() {
  const auto run = [this](const std::string& command) {
    if (std::system(("cd '" + dir_.path().string() + "' && " + command + " >/dev/null 2>&1").c_str()) != 0)
      throw std::runtime_error("failed: " + command);
  };
  write_file(dir_.path() / "san.cnf", "subjectAltName=IP:127.0.0.1,DNS:localhost\n");
  const std::string ec = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes ";
  const auto authority = "openssl req -x509 " + ec + "-days 2 ";
  run(authority + "-subj /CN=ca -keyout ca.key -out ca.pem");
  run(authority + "-subj /CN=other -keyout other.key -out other.pem");
  run("openssl req " + ec + "-subj /CN=server -keyout server.key -out server.csr");
  run("openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile san.cnf "
      "-out server.pem");
}

}  // namespace intra365::testing
