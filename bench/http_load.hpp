// A load of HTTP requests over kept connections, each sending its next request when its answer is complete.
#pragma once
#include <string>
#include <vector>

namespace intra365::bench {

struct HttpRequest {
  std::string text;             ///< as it goes over the wire
  std::string must_be_in_body;  ///< an answer without it ends the benchmark
};

struct HttpLoad {
  double per_second = 0, p50_us = 0, p99_us = 0;
};

/// A POST of JSON. `headers`: further lines, each with its line end.
HttpRequest json_post(const std::string& path, const std::string& headers, const std::string& body,
                      std::string must_be_in_body);

HttpRequest json_get(const std::string& path, const std::string& headers, std::string must_be_in_body);

/// An access token of a platform's gateway for an API key. Ends the benchmark where there is none.
std::string token_for(unsigned short port, const std::string& api_key);

/// Goes through the requests in turn on `connections` connections to a loopback port.
HttpLoad http_load(unsigned short port, const std::vector<HttpRequest>& requests, int connections,
                   double seconds);

}  // namespace intra365::bench
