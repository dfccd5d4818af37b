#include "cel/types.hpp"

#include <algorithm>
#include <stdexcept>

namespace intra365::cel {
namespace {

struct Named {
  std::string_view name;
  Type::Kind kind;
  std::size_t of;  ///< how many types stand in its brackets
};
constexpr Named kNames[] = {
    {"dyn", Type::Kind::dyn, 0},
    {"null_type", Type::Kind::null, 0},
    {"bool", Type::Kind::boolean, 0},
    {"int", Type::Kind::integer, 0},
    {"uint", Type::Kind::unsigned_integer, 0},
    {"double", Type::Kind::real, 0},
    {"string", Type::Kind::string, 0},
    {"bytes", Type::Kind::bytes, 0},
    {"google.protobuf.Timestamp", Type::Kind::timestamp, 0},
    {"google.protobuf.Duration", Type::Kind::duration, 0},
    {"timestamp", Type::Kind::timestamp, 0},
    {"duration", Type::Kind::duration, 0},
    {"list", Type::Kind::list, 1},
    {"map", Type::Kind::map, 2},
    {"optional_type", Type::Kind::optional, 1},
    {"type", Type::Kind::type, 1},
    {"wrapper", Type::Kind::wrapper, 1},
    {"number", Type::Kind::number, 0},
};
constexpr std::size_t kDeepest = 16;

class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  Result<Type> whole() {
    TRY(auto type, one(0));
    if (at_ != text_.size()) return wrong();
    return type;
  }

 private:
  Failure wrong() const { return fail(errors::type, "Not a type: '" + std::string(text_) + "'."); }
  bool skip(char wanted) {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    return ++at_, true;
  }
  Result<Type> one(std::size_t depth) {
    if (depth > kDeepest) return wrong();
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    const auto end = std::min(text_.find_first_of("(), ", at_), text_.size());
    const auto name = text_.substr(at_, end - at_);
    at_ = end;
    if (name.size() == 1 && name[0] >= 'A' && name[0] <= 'Z') {
      Type type(Type::Kind::variable);
      type.variable = static_cast<std::uint32_t>(name[0] - 'A');
      return type;
    }
    const auto* found = std::ranges::find(kNames, name, &Named::name);
    if (found == std::end(kNames)) return wrong();
    Type type(found->kind);
    type.of.resize(found->of);  // `list` alone is a list of anything
    if (found->of == 0 || !skip('(')) return type;
    for (std::size_t i = 0; i < found->of; ++i) {
      if (i > 0 && !skip(',')) return wrong();
      TRY(type.of[i], one(depth + 1));
    }
    if (!skip(')')) return wrong();
    return type;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

/// Cuts a text at a character that stands in no brackets.
std::vector<std::string_view> parts_of(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  int depth = 0;
  for (std::size_t i = 0; i <= text.size(); ++i) {
    if (i < text.size()) depth += (text[i] == '(') - (text[i] == ')');
    if (i < text.size() && (text[i] != at || depth > 0)) continue;
    if (i > begin) parts.push_back(text.substr(begin, i - begin));
    begin = i + 1;
  }
  return parts;
}

}  // namespace

std::string to_text(const Type& type) {
  if (type.kind == Type::Kind::variable) return "dyn";
  std::string text(std::ranges::find(kNames, type.kind, &Named::kind)->name);
  for (std::size_t i = 0; i < type.of.size(); ++i) text += (i == 0 ? "(" : ", ") + to_text(type.of[i]);
  return text + (type.of.empty() ? "" : ")");
}

Result<Type> read_type(std::string_view text) {
  return Reader(text).whole();
}

std::vector<Form> forms_of(std::string_view text) {
  const auto must = [&](std::string_view part) {
    auto type = read_type(part);
    if (!type) throw std::logic_error("a function's forms: " + std::string(text));
    return *std::move(type);
  };
  std::vector<Form> forms;
  for (const auto one : parts_of(text, ' ')) {
    Form form;
    const auto colon = one.rfind(':');
    form.gives = must(one.substr(colon + 1));
    auto takes = one.substr(0, colon);
    form.repeats = takes.ends_with("...");
    if (form.repeats) takes.remove_suffix(3);
    for (const auto part : parts_of(takes, ',')) form.takes.push_back(must(part));
    forms.push_back(std::move(form));
  }
  return forms;
}

}  // namespace intra365::cel
