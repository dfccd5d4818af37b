#include "policy/yaml.hpp"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <charconv>
#include <map>
#include <sstream>
#include <vector>

#include "policy/limits.hpp"

namespace intra365::policy {
namespace {

namespace bj = boost::json;

constexpr std::size_t kLevels = 32, kNodes = 200'000;

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

/// Builds the value while the text is read, so that a limit ends the reading and not merely its result. The
/// library's own tree is not used: for some malformed texts its loader makes empty documents without end.
class Builder final : public YAML::EventHandler {
 public:
  bj::value take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw YAML::ParserException(mark, "exactly one document is expected");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { add(mark, nullptr, anchor, 1); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto known = anchors_.find(anchor);
    if (known == anchors_.end()) throw YAML::ParserException(mark, "an alias inside of what it stands for");
    add(mark, known->second.value, YAML::NullAnchor, known->second.nodes);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    // A quoted scalar has the tag "!": text, whatever it looks like.
    const bool is_text = tag == "!" || tag == "tag:yaml.org,2002:str";
    add(mark, is_text ? bj::value(text) : plain(text), anchor, 1);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, bj::array(), anchor);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string&, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, bj::object(), anchor);
  }
  void OnMapEnd() override { close(); }

 private:
  struct Level {
    bj::value value;
    YAML::anchor_t anchor = YAML::NullAnchor;
    YAML::Mark mark;
    std::size_t nodes = 1;
    std::string key;
    bool has_key = false;
  };
  struct Anchored {
    bj::value value;
    std::size_t nodes = 0;
  };

  void open(const YAML::Mark& mark, bj::value value, YAML::anchor_t anchor) {
    if (levels_.size() >= kLevels) throw YAML::ParserException(mark, "nested deeper than 32 levels");
    auto& level = levels_.emplace_back();
    level.value = std::move(value);
    level.anchor = anchor;
    level.mark = mark;
  }
  void close() {
    auto level = std::move(levels_.back());
    levels_.pop_back();
    add(level.mark, std::move(level.value), level.anchor, level.nodes);
  }
  void add(const YAML::Mark& mark, bj::value value, YAML::anchor_t anchor, std::size_t nodes) {
    if (nodes > kNodes) throw YAML::ParserException(mark, "more than 200000 nodes");
    if (anchor != YAML::NullAnchor) anchors_[anchor] = {value, nodes};
    if (levels_.empty()) {
      root_ = std::move(value);
      return;
    }
    auto& level = levels_.back();
    level.nodes += nodes;
    if (level.nodes > kNodes) throw YAML::ParserException(mark, "more than 200000 nodes");
    if (auto* list = level.value.if_array()) {
      list->push_back(std::move(value));
    } else if (!level.has_key) {
      if (value.is_structured()) throw YAML::ParserException(mark, "a key must be text");
      level.key = value.is_string() ? std::string(value.get_string()) : bj::serialize(value);
      if (level.value.get_object().contains(level.key))
        throw YAML::ParserException(mark, "the key '" + level.key.substr(0, 64) + "' stands twice");
      level.has_key = true;
    } else {
      level.value.get_object().emplace(level.key, std::move(value));
      level.has_key = false;
    }
  }

  bj::value root_;
  std::vector<Level> levels_;
  std::map<YAML::anchor_t, Anchored> anchors_;
  int documents_ = 0;
};

}  // namespace

Result<bj::value> read_yaml(std::string_view text) {
  if (text.size() > limits::kDocumentBytes) return fail(errors::bad_policy, "YAML: longer than 1 MiB");
  std::istringstream stream{std::string(text)};
  try {
    YAML::Parser parser(stream);
    Builder builder;
    if (!parser.HandleNextDocument(builder))
      return fail(errors::bad_policy, "YAML: exactly one document is expected");
    auto value = builder.take();
    parser.HandleNextDocument(builder);  // refuses a second one
    return value;
  } catch (const YAML::Exception& error) {
    const auto where = error.mark.is_null() ? std::string("YAML")
                                            : std::to_string(error.mark.line + 1) + ":" +
                                                  std::to_string(error.mark.column + 1);
    return fail(errors::bad_policy, where + ": " + error.msg);
  }
}

}  // namespace intra365::policy
