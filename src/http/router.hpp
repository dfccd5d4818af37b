// Which route answers a request: method and path template to an index, with the values of `{parameters}`.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace intra365::http {

/// Built once, then only read. A literal segment is preferred to a parameter.
class Router {
 public:
  Router();
  ~Router();
  Router(Router&&) noexcept;
  Router& operator=(Router&&) noexcept;

  /// `path` is a template such as `/v1/mates/{mateId}`. Adding a route twice is a bug.
  void add(std::string_view method, std::string_view path, std::size_t index);

  struct Match {
    enum class Kind { found, no_path, no_method } kind = Kind::no_path;
    std::size_t index = 0;
    std::vector<std::pair<std::string_view, std::string_view>>
        parameters;                         ///< views of the route and the path
    std::vector<std::string_view> allowed;  ///< methods, when none fits
  };
  Match find(std::string_view method, std::string_view path) const;

 private:
  struct Node;
  std::unique_ptr<Node> root_;
};

}  // namespace intra365::http
