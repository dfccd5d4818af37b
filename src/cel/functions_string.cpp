// The string extension: positions count characters, not bytes.
#include <algorithm>

#include "cel/format.hpp"
#include "cel/function_support.hpp"
#include "cel/lexer.hpp"

namespace intra365::cel {
namespace {

/// Where each character of a text begins, and where the text ends.
class Characters {
 public:
  explicit Characters(std::string_view text) : text_(text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      if ((static_cast<unsigned char>(text[i]) >> 6) != 2) begins_.push_back(i);
    }
    begins_.push_back(text.size());
  }
  std::int64_t count() const { return static_cast<std::int64_t>(begins_.size()) - 1; }
  std::string_view part(std::int64_t from, std::int64_t to) const {
    return text_.substr(begin(from), begin(to) - begin(from));
  }
  std::size_t begin(std::int64_t index) const { return begins_[static_cast<std::size_t>(index)]; }
  /// The character that begins at a byte.
  std::int64_t at_byte(std::size_t byte) const {
    return std::ranges::lower_bound(begins_, byte) - begins_.begin();
  }

 private:
  std::string_view text_;
  std::vector<std::size_t> begins_;
};

Value out_of_range(Evaluation& evaluation, std::int64_t index) {
  return evaluation.fail(Cause::range, "index out of range: " + std::to_string(index));
}

/// Every function here reads its text once or so.
bool pay(Evaluation& evaluation, Arguments a) {
  std::uint64_t size = 0;
  for (const auto& one : a) size += one.kind == Kind::string ? one.size : 0;
  return evaluation.spend(size / 4);
}

Value char_at(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string, Kind::integer)) return evaluation.no_overload(node, a);
  if (!pay(evaluation, a)) return evaluation.limit();
  const Characters characters(a[0].view());
  const auto index = a[1].integer;
  if (index < 0 || index > characters.count()) return out_of_range(evaluation, index);
  if (index == characters.count()) return Value::string("");
  return Value::string(characters.part(index, index + 1));
}

Value index_of(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string, Kind::string) && !are(a, Kind::string, Kind::string, Kind::integer))
    return evaluation.no_overload(node, a);
  if (!pay(evaluation, a)) return evaluation.limit();
  const Characters characters(a[0].view());
  const auto from = a.size() == 3 ? a[2].integer : 0;
  if (from < 0 || from > characters.count()) return out_of_range(evaluation, from);
  const auto found = a[0].view().find(a[1].view(), characters.begin(from));
  return Value::of(found == std::string_view::npos ? std::int64_t{-1} : characters.at_byte(found));
}

Value last_index_of(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string, Kind::string) && !are(a, Kind::string, Kind::string, Kind::integer))
    return evaluation.no_overload(node, a);
  if (!pay(evaluation, a)) return evaluation.limit();
  const Characters characters(a[0].view());
  const auto last = a.size() == 3 ? a[2].integer : characters.count();
  if (last < 0 || last > characters.count()) return out_of_range(evaluation, last);
  const auto found = a[0].view().rfind(a[1].view(), characters.begin(last));
  return Value::of(found == std::string_view::npos ? std::int64_t{-1} : characters.at_byte(found));
}

Value substring(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string, Kind::integer) && !are(a, Kind::string, Kind::integer, Kind::integer))
    return evaluation.no_overload(node, a);
  if (!pay(evaluation, a)) return evaluation.limit();
  const Characters characters(a[0].view());
  const auto from = a[1].integer, to = a.size() == 3 ? a[2].integer : characters.count();
  if (from < 0 || from > characters.count()) return out_of_range(evaluation, from);
  if (to < 0 || to > characters.count()) return out_of_range(evaluation, to);
  if (from > to)
    return evaluation.fail(Cause::range, "invalid substring range. start: " + std::to_string(from) +
                                             ", end: " + std::to_string(to));
  return Value::string(characters.part(from, to));
}

template <char first, char last, int shift>
Value shift_ascii(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string)) return evaluation.no_overload(node, a);
  if (!pay(evaluation, a) || !evaluation.arena().fits(a[0].size)) return evaluation.limit();
  char* const text = evaluation.arena().take(a[0].size);
  std::ranges::transform(a[0].view(), text,
                         [](char c) { return c >= first && c <= last ? static_cast<char>(c + shift) : c; });
  return Value::string({text, a[0].size});
}

/// White space as Unicode has it.
bool is_space(std::uint32_t c) {
  return (c >= 0x9 && c <= 0xd) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f ||
         c == 0x3000;
}

Value trim(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string)) return evaluation.no_overload(node, a);
  if (!pay(evaluation, a)) return evaluation.limit();
  auto rest = a[0].view();
  std::size_t begin = a[0].size, end = 0;
  std::uint32_t code_point = 0;
  while (!rest.empty()) {
    const auto at = a[0].size - rest.size();
    if (!next_code_point(rest, code_point)) break;
    if (is_space(code_point)) continue;
    begin = std::min(begin, at);
    end = a[0].size - rest.size();
  }
  return Value::string(begin < end ? a[0].view().substr(begin, end - begin) : std::string_view());
}

Value replace(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string, Kind::string, Kind::string) &&
      !are(a, Kind::string, Kind::string, Kind::string, Kind::integer))
    return evaluation.no_overload(node, a);
  auto left = a.size() == 4 ? a[3].integer : -1;
  const auto text = a[0].view(), old = a[1].view(), with = a[2].view();
  if (!pay(evaluation, a)) return evaluation.limit();
  std::string made;
  const auto too_long = [&] {
    return !evaluation.arena().fits(made.size()) || !evaluation.spend(with.size() / 4);
  };
  if (old.empty()) {
    // Before every character, and at the end.
    const Characters characters(text);
    for (std::int64_t i = 0; i <= characters.count(); ++i) {
      if (left != 0) {
        if (too_long()) return evaluation.limit();
        made += with;
        left = left < 0 ? left : left - 1;
      }
      if (i < characters.count()) made += characters.part(i, i + 1);
    }
    return evaluation.string(made);
  }
  std::size_t at = 0;
  for (; left != 0; left = left < 0 ? left : left - 1) {
    const auto found = text.find(old, at);
    if (found == std::string_view::npos) break;
    if (too_long()) return evaluation.limit();
    made.append(text.substr(at, found - at)).append(with);
    at = found + old.size();
  }
  made += text.substr(at);
  return evaluation.arena().fits(made.size()) ? evaluation.string(made) : evaluation.limit();
}

Value split(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string, Kind::string) && !are(a, Kind::string, Kind::string, Kind::integer))
    return evaluation.no_overload(node, a);
  if (!pay(evaluation, a)) return evaluation.limit();
  const auto most = a.size() == 3 ? a[2].integer : -1;
  const auto text = a[0].view(), by = a[1].view();
  std::vector<Value> parts;
  const auto may_split = [&] { return most < 0 || static_cast<std::int64_t>(parts.size()) + 1 < most; };
  if (most != 0) {
    std::size_t at = 0;
    while (may_split()) {
      std::size_t found = text.find(by, at);
      if (by.empty()) {
        // Between characters: behind the first one of what is left.
        found = at + 1;
        while (found < text.size() && (static_cast<unsigned char>(text[found]) >> 6) == 2) ++found;
        if (found >= text.size()) break;
      }
      if (found == std::string_view::npos) break;
      parts.push_back(Value::string(text.substr(at, found - at)));
      at = found + by.size();
    }
    if (!by.empty() || at < text.size()) parts.push_back(Value::string(text.substr(at)));
  }
  if (!evaluation.arena().fits(parts.size() * sizeof(Value))) return evaluation.limit();
  auto* const items = evaluation.arena().make<Value>(parts.size());
  std::ranges::copy(parts, items);
  return Value::list({items, parts.size()});
}

Value join(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::list) && !are(a, Kind::list, Kind::string)) return evaluation.no_overload(node, a);
  const auto between = a.size() == 2 ? a[1].view() : std::string_view();
  std::string made;
  for (std::size_t i = 0; i < a[0].length(); ++i) {
    const auto item = a[0].at(i);
    if (item.kind != Kind::string) return evaluation.no_overload(node, {&item, 1});
    if (!evaluation.spend(1 + (item.size + between.size()) / 4) ||
        !evaluation.arena().fits(made.size() + item.size))
      return evaluation.limit();
    if (i > 0) made += between;
    made += item.view();
  }
  return evaluation.string(made);
}

Value quote(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string)) return evaluation.no_overload(node, a);
  if (!pay(evaluation, a)) return evaluation.limit();
  constexpr std::string_view kFrom = "\a\b\f\n\r\t\v\\\"", kTo = "abfnrtv\\\"";
  std::string made = "\"";
  auto rest = a[0].view();
  while (!rest.empty()) {
    if (const auto found = kFrom.find(rest.front()); found != std::string_view::npos) {
      made += '\\';
      made += kTo[found];
      rest.remove_prefix(1);
      continue;
    }
    std::uint32_t code_point = 0;
    if (!next_code_point(rest, code_point)) {
      code_point = 0xfffd;  // what is no character is shown as none
      rest.remove_prefix(1);
    }
    append_utf8(made, code_point);
  }
  return evaluation.string(made + "\"");
}

Value format(Evaluation& evaluation, const Node& node, Arguments a) {
  if (!are(a, Kind::string, Kind::list)) return evaluation.no_overload(node, a);
  return format_text(evaluation, a[0].view(), a[1]);
}

constexpr FunctionEntry kFunctions[] = {
    {"charAt", CalledAs::receiver, "string,int:string", char_at},
    {"indexOf", CalledAs::receiver, "string,string:int string,string,int:int", index_of},
    {"lastIndexOf", CalledAs::receiver, "string,string:int string,string,int:int", last_index_of},
    {"substring", CalledAs::receiver, "string,int:string string,int,int:string", substring},
    {"lowerAscii", CalledAs::receiver, "string:string", shift_ascii<'A', 'Z', 32>},
    {"upperAscii", CalledAs::receiver, "string:string", shift_ascii<'a', 'z', -32>},
    {"trim", CalledAs::receiver, "string:string", trim},
    {"replace", CalledAs::receiver, "string,string,string:string string,string,string,int:string", replace},
    {"split", CalledAs::receiver, "string,string:list(string) string,string,int:list(string)", split},
    {"join", CalledAs::receiver, "list(string):string list(string),string:string", join},
    {"format", CalledAs::receiver, "string,list(dyn):string", format},
    {"strings.quote", CalledAs::global, "string:string", quote},
};

}  // namespace

std::span<const FunctionEntry> string_functions() {
  return kFunctions;
}

}  // namespace intra365::cel
