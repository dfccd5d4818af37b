// An HTTP/1.1 client for one shard with a small pool of kept-alive connections per origin.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "async/task.hpp"

namespace intra365::http {

struct ClientRequest {
  std::string method = "GET";
  std::string url;  ///< http:// or https://
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};
struct ClientResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
  std::string body;
  std::string_view header(std::string_view lower_case_name) const;
};
struct ClientOptions {
  std::size_t max_connections_per_origin = 16;
  std::size_t max_body_bytes = 16u << 20;
  std::string ca_file;  ///< empty: the system's trust store
};

class Client {
 public:
  Client(asio::any_io_executor executor, ClientOptions options = {});
  ~Client();
  /// No redirects are followed. Fails with kinds unavailable, deadline or invalid.
  Task<ClientResponse> send(ClientRequest request, SteadyTime deadline);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace intra365::http
