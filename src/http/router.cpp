#include "http/router.hpp"

#include <cassert>

namespace intra365::http {

struct Router::Node {
  std::map<std::string, std::unique_ptr<Node>, std::less<>> literals;
  std::unique_ptr<Node> parameter;
  struct Route {
    std::size_t index;
    std::vector<std::string> names;
  };
  std::map<std::string, Route, std::less<>> methods;

  const Node* find(std::string_view path, std::vector<std::string_view>& values) const {
    if (path.empty()) return methods.empty() ? nullptr : this;
    path.remove_prefix(1);
    const auto segment = path.substr(0, path.find('/'));
    const auto rest = path.substr(segment.size());
    if (const auto literal = literals.find(segment); literal != literals.end()) {
      if (const auto* found = literal->second->find(rest, values)) return found;
    }
    if (!parameter || segment.empty()) return nullptr;
    values.push_back(segment);
    if (const auto* found = parameter->find(rest, values)) return found;
    values.pop_back();
    return nullptr;
  }
};

Router::Router() : root_(std::make_unique<Node>()) {}
Router::~Router() = default;
Router::Router(Router&&) noexcept = default;
Router& Router::operator=(Router&&) noexcept = default;

void Router::add(std::string_view method, std::string_view path, std::size_t index) {
  auto* node = root_.get();
  std::vector<std::string> names;
  while (!path.empty()) {
    path.remove_prefix(1);
    const auto segment = path.substr(0, path.find('/'));
    path.remove_prefix(segment.size());
    auto& next = segment.starts_with('{') ? node->parameter : node->literals[std::string(segment)];
    if (segment.starts_with('{')) names.emplace_back(segment.substr(1, segment.size() - 2));
    if (!next) next = std::make_unique<Node>();
    node = next.get();
  }
  [[maybe_unused]] const bool added =
      node->methods.try_emplace(std::string(method), Node::Route{index, std::move(names)}).second;
  assert(added && "a route is declared once");
}

Router::Match Router::find(std::string_view method, std::string_view path) const {
  std::vector<std::string_view> values;
  const auto* node = path == "/" ? nullptr : root_->find(path, values);
  if (node == nullptr) return {};
  Match match;
  const auto route = node->methods.find(method);
  if (route == node->methods.end()) {
    match.kind = Match::Kind::no_method;
    for (const auto& [name, unused] : node->methods) match.allowed.push_back(name);
    return match;
  }
  match.kind = Match::Kind::found;
  match.index = route->second.index;
  for (std::size_t i = 0; i < values.size(); ++i)
    match.parameters.emplace_back(route->second.names[i], values[i]);
  return match;
}

}  // namespace intra365::http
