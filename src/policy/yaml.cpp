#include "policy/yaml.hpp"

#include <yaml-cpp/yaml.h>

#include <charconv>

#include "policy/limits.hpp"

namespace intra365::policy {
namespace {

namespace bj = boost::json;

constexpr int kLevels = 32;
constexpr std::size_t kNodes = 200'000;

Failure refuse(const YAML::Mark& mark, std::string_view why) {
  const auto where = mark.is_null() ? std::string("YAML")
                                    : std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
  return fail(errors::bad_policy, where + ": " + std::string(why));
}

bj::value plain(const std::string& text) {
  if (text == "true") return true;
  if (text == "false") return false;
  if (text.empty() || text == "null" || text == "~") return nullptr;
  const char *begin = text.data(), *end = begin + text.size();
  std::int64_t integer = 0;
  if (const auto [at, error] = std::from_chars(begin, end, integer); error == std::errc{} && at == end)
    return integer;
  double real = 0;
  const bool numeric = (*begin >= '0' && *begin <= '9') || *begin == '-';
  if (const auto [at, error] = std::from_chars(begin, end, real);
      numeric && error == std::errc{} && at == end)
    return real;
  return bj::value(text);
}

class Reader {
 public:
  Result<bj::value> read(const YAML::Node& node, int level) {
    if (level > kLevels) return refuse(node.Mark(), "nested deeper than 32 levels");
    if (++nodes_ > kNodes) return refuse(node.Mark(), "more than 200000 nodes");
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        // A quoted scalar has the tag "!": text, whatever it looks like.
        if (node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str") return bj::value(node.Scalar());
        return plain(node.Scalar());
      case YAML::NodeType::Sequence: {
        bj::array list;
        for (const auto& item : node) {
          TRY(auto value, read(item, level + 1));
          list.push_back(std::move(value));
        }
        return list;
      }
      case YAML::NodeType::Map: {
        bj::object object;
        for (const auto& item : node) {
          if (!item.first.IsScalar()) return refuse(item.first.Mark(), "a key must be text");
          const auto& key = item.first.Scalar();
          if (object.contains(key))
            return refuse(item.first.Mark(), "the key '" + key.substr(0, 64) + "' stands twice");
          TRY(auto value, read(item.second, level + 1));
          object.emplace(key, std::move(value));
        }
        return object;
      }
      default:
        return bj::value(nullptr);
    }
  }

 private:
  std::size_t nodes_ = 0;
};

}  // namespace

Result<bj::value> read_yaml(std::string_view text) {
  if (text.size() > limits::kDocumentBytes) return fail(errors::bad_policy, "YAML: longer than 1 MiB");
  try {
    const auto documents = YAML::LoadAll(std::string(text));
    if (documents.size() != 1) return fail(errors::bad_policy, "YAML: exactly one document is expected");
    return Reader().read(documents.front(), 1);
  } catch (const YAML::Exception& error) {
    return refuse(error.mark, error.msg);
  }
}

}  // namespace intra365::policy
