// What the names of an expression may mean.
#include <algorithm>
#include <map>
#include <set>

#include "cel/parser.hpp"

namespace intra365::cel {
namespace {

constexpr std::string_view kTypes[] = {"bool",
                                       "int",
                                       "uint",
                                       "double",
                                       "string",
                                       "bytes",
                                       "list",
                                       "map",
                                       "null_type",
                                       "type",
                                       "optional_type",
                                       "google.protobuf.Timestamp",
                                       "google.protobuf.Duration"};
class Names {
 public:
  Names(Parsed& parsed, std::string_view source, const Environment& environment, Arena& texts)
      : parsed_(parsed), source_(source), environment_(environment), texts_(texts) {
    for (const auto& name : environment.variables) variable(name);
  }

  Result<void> run() {
    for (auto& node : parsed_.nodes) {
      if (node.op == Op::name) CHECK(give_meaning(node));
    }
    add_fields();
    parsed_.references.assign(references_.begin(), references_.end());
    return {};
  }

 private:
  std::uint32_t variable(const std::string& name) {
    const auto [found, is_new] =
        variables_.try_emplace(name, static_cast<std::uint32_t>(parsed_.variables.size()));
    if (is_new) parsed_.variables.push_back(name);
    return found->second;
  }
  bool declared(const std::string& name) const {
    return (environment_.variables.empty() && !environment_.checks) || variables_.contains(name);
  }

  /// From the innermost container out, the longest name first.
  Result<void> give_meaning(Node& name) {
    std::string whole;
    std::vector<std::string> prefixes;  // a, a.b, a.b.c
    for (const auto& part : name.parts) {
      whole += (whole.empty() ? "" : ".") + part;
      prefixes.push_back(whole);
    }
    for (auto used = name.parts.size(); used > 0; --used) {
      std::string container = name.absolute ? "" : environment_.container;
      for (;;) {
        const auto candidate = container.empty() ? prefixes[used - 1] : container + "." + prefixes[used - 1];
        if (declared(candidate))
          name.meanings.push_back({variable(candidate), static_cast<std::uint32_t>(used)});
        if (container.empty()) break;
        const auto dot = container.rfind('.');
        container = dot == std::string::npos ? "" : container.substr(0, dot);
      }
    }
    const auto* type = std::ranges::find(kTypes, std::string_view(whole));
    name.is_type = type != std::end(kTypes);
    if (name.is_type) name.constant = Value::type(*type);
    if (name.meanings.empty() && !name.is_type)
      return refuse(errors::undeclared, source_, name.position,
                    "there is nothing named '" + name.parts.front() + "'");
    if (!name.is_type) references_.insert(whole);
    name.text = texts_.copy(whole);
    return {};
  }

  /// `has(a.b)` and `a.?b` read a.b as well as a.
  void add_fields() {
    for (const auto& one : parsed_.nodes) {
      if (one.op != Op::has && one.op != Op::select) continue;
      const auto& below = parsed_.nodes[one.children.front()];
      if (below.op == Op::name && !below.is_type) references_.insert(below.text + "." + one.text);
    }
  }

  Parsed& parsed_;
  std::string_view source_;
  const Environment& environment_;
  Arena& texts_;
  std::map<std::string, std::uint32_t> variables_;
  std::set<std::string> references_;
};

}  // namespace

Result<void> give_meaning(Parsed& parsed, std::string_view source, const Environment& environment,
                          Arena& texts) {
  return Names(parsed, source, environment, texts).run();
}

}  // namespace intra365::cel
