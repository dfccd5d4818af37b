#include "policy/template.hpp"

#include <algorithm>

#include "json/json.hpp"
#include "policy/compiled.hpp"

namespace intra365::policy {
namespace {

namespace bj = boost::json;

constexpr std::size_t kSlots = 50;

Result<void> check_value(const Slot& slot, const bj::value& value, const Pointer& at) {
  const auto* text = value.if_string();
  const std::string_view view = text == nullptr ? std::string_view() : std::string_view(*text);
  const auto is_country = [](const bj::value& one) {
    const auto* code = one.if_string();
    return code != nullptr && code->size() == 2 &&
           std::ranges::all_of(*code, [](char c) { return c >= 'A' && c <= 'Z'; });
  };
  bool fits = false;
  std::string_view expected;
  switch (slot.type) {
    case SlotType::text:
      expected = "1 to 200 printable characters without '*' and '$'";
      fits = !view.empty() && view.size() <= 200 && std::ranges::none_of(view, [](unsigned char c) {
        return c < ' ' || c >= 0x7f || c == '*' || c == '$';
      });
      break;
    case SlotType::mate:
    case SlotType::user:
      expected = "an id: [A-Za-z0-9_-]{1,64}";
      fits = is_token(view);
      break;
    case SlotType::purpose:
    case SlotType::scope:
      expected = "a name: [A-Za-z0-9_.:-]{1,128}";
      fits = is_dotted_name(view);
      break;
    case SlotType::country:
      expected = "a country as two capitals";
      fits = is_country(value);
      break;
    case SlotType::countries:
      expected = "a list of countries as two capitals";
      fits = value.is_array() && !value.get_array().empty() && value.get_array().size() <= 250 &&
             std::ranges::all_of(value.get_array(), is_country);
      break;
    case SlotType::number:
      expected = "a number";
      fits = value.is_number();
      break;
    case SlotType::time:
      expected = "a time such as 2026-10-29T10:00:00Z";
      fits = text != nullptr && parse_rfc3339(view).has_value();
      break;
    case SlotType::cidr:
      expected = "an address block such as 10.0.0.0/8";
      fits = text != nullptr && AddressBlock::parse(view, at).has_value();
      break;
  }
  if (!fits) return at.refuse(std::string(expected) + " is expected");
  return {};
}

class Filler {
 public:
  Filler(const std::map<std::string, Slot>& slots, const bj::object& values)
      : slots_(slots), values_(values) {}

  Result<void> check() const {
    const Pointer root;
    for (const auto& item : values_) {
      if (!slots_.contains(std::string(item.key()))) return Pointer(root, item.key()).refuse("is no slot");
    }
    for (const auto& [name, slot] : slots_) {
      const Pointer at(root, name);
      const auto* value = values_.if_contains(name);
      if (value == nullptr) return at.refuse("the slot has no value");
      CHECK(check_value(slot, *value, at));
    }
    return {};
  }

  Result<bj::value> fill(const bj::value& from, const Pointer& at) const {
    if (const auto* text = from.if_string()) return fill_text(*text, at);
    if (const auto* list = from.if_array()) {
      bj::array filled;
      for (std::size_t i = 0; i < list->size(); ++i) {
        TRY(auto one, fill((*list)[i], Pointer(at, i)));
        filled.push_back(std::move(one));
      }
      return filled;
    }
    if (const auto* object = from.if_object()) {
      bj::object filled;
      for (const auto& item : *object) {
        TRY(auto one, fill(item.value(), Pointer(at, item.key())));
        filled.emplace(item.key(), std::move(one));
      }
      return filled;
    }
    return from;
  }

 private:
  Result<bj::value> fill_text(std::string_view text, const Pointer& at) const {
    std::string filled;
    for (std::size_t from = 0;;) {
      const auto begin = text.find("${", from);
      if (begin == std::string_view::npos) {
        filled += text.substr(from);
        return bj::value(filled);
      }
      const auto end = text.find('}', begin);
      if (end == std::string_view::npos) return at.refuse("'${' without '}'");
      const auto name = text.substr(begin + 2, end - begin - 2);
      const auto* value = values_.if_contains(name);
      if (value == nullptr) return at.refuse("'" + std::string(name.substr(0, 64)) + "' is no slot");
      if (begin == 0 && end + 1 == text.size()) return *value;
      filled += text.substr(from, begin - from);
      if (const auto* inner = value->if_string())
        filled += std::string_view(*inner);
      else if (value->is_number())
        filled += bj::serialize(*value);
      else
        return at.refuse("a list cannot stand inside a text");
      from = end + 1;
    }
  }

  const std::map<std::string, Slot>& slots_;
  const bj::object& values_;
};

struct TemplateHead {
  std::string template_name, title, about;
  std::map<std::string, Slot> slots;
  bj::value policies;
};
BOOST_DESCRIBE_STRUCT(TemplateHead, (), (template_name, title, about, slots, policies))

}  // namespace

Result<bj::value> fill(const bj::value& document, const std::map<std::string, Slot>& slots,
                       const bj::object& values) {
  const Filler filler(slots, values);
  CHECK(filler.check());
  return filler.fill(document, Pointer());
}

Result<std::vector<Policy>> instantiate(const Template& from, const bj::object& values) {
  TRY(const auto filled, fill(from.policies, from.slots, values));
  std::vector<Policy> policies;
  const Pointer root;
  const auto& list = filled.get_array();
  for (std::size_t i = 0; i < list.size(); ++i) {
    TRY(auto policy, read_policy(list[i], Pointer(root, i)));
    CHECK(validate(policy));
    policies.push_back(std::move(policy));
  }
  return policies;
}

Result<Template> read_template(const bj::value& document) {
  auto head = json::from_value<TemplateHead>(document, json::Unknown::ignore);
  if (!head) return fail(errors::bad_policy, head.error().detail);
  if (head->slots.size() > kSlots) return fail(errors::bad_policy, "/slots: at most 50");
  if (!head->policies.is_array()) return fail(errors::bad_policy, "/policies: a list is expected");
  return Template{std::move(head->template_name), std::move(head->title), std::move(head->about),
                  std::move(head->slots), std::move(head->policies)};
}

bj::object examples(const std::map<std::string, Slot>& slots) {
  bj::object values;
  for (const auto& [name, slot] : slots) values.emplace(name, slot.example);
  return values;
}

}  // namespace intra365::policy
