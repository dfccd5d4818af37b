#include "services/privacy/model.hpp"

#include <algorithm>
#include <array>

#include "contract/errors.hpp"

namespace intra365::services::privacy {
namespace {

namespace bj = boost::json;

/// Members that hold a person's id by itself.
constexpr std::array<std::string_view, 8> kIdMembers{"userId",    "user_id", "principalId", "principal_id",
                                                     "principal", "sub",     "id",          "user"};
constexpr std::array<std::string_view, 3> kTenantMembers{"tenant", "tenantId", "tenant_id"};

bool is_name_character(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

/// `word` in `text`, and not as a part of a longer name.
bool has_word(std::string_view text, std::string_view word) {
  for (auto at = text.find(word); at != std::string_view::npos; at = text.find(word, at + 1)) {
    const auto end = at + word.size();
    if ((at == 0 || !is_name_character(text[at - 1])) &&
        (end == text.size() || !is_name_character(text[end])))
      return true;
  }
  return false;
}

bool is_of_tenant(const Person& person, std::string_view subject) {
  for (std::size_t from = 0; from <= subject.size();) {
    const auto end = std::min(subject.find('.', from), subject.size());
    const auto token = subject.substr(from, end - from);
    if (token == person.account || token == person.tenant.str()) return true;
    from = end + 1;
  }
  return false;
}

/// `ours`: it is known already that this part speaks of the person's tenant.
bool mentions(const Person& person, const std::string& as_subject, std::string_view member,
              const bj::value& value, bool ours) {
  if (const auto* text = value.if_string()) {
    if (!ours) return false;
    const std::string_view view(*text);
    const auto& id = person.user.str();
    // Resources are named by whoever asks about them, and often after a person.
    return has_word(view, as_subject) || (member == "resource" && has_word(view, id)) ||
           (view == id && std::ranges::find(kIdMembers, member) != kIdMembers.end());
  }
  if (const auto* array = value.if_array()) {
    return std::ranges::any_of(
        *array, [&](const bj::value& item) { return mentions(person, as_subject, member, item, ours); });
  }
  const auto* object = value.if_object();
  if (object == nullptr) return false;
  for (const auto name : kTenantMembers) {
    if (const auto* tenant = object->if_contains(name); tenant != nullptr && tenant->is_string())
      ours = tenant->get_string() == person.tenant.str();
  }
  return std::ranges::any_of(*object, [&](const auto& item) {
    return mentions(person, as_subject, item.key(), item.value(), ours);
  });
}

bool is_weekend(std::chrono::sys_days day) {
  const std::chrono::weekday weekday(day);
  return weekday == std::chrono::Saturday || weekday == std::chrono::Sunday;
}

}  // namespace

Result<void> check_rights(const platform::Caller& caller, const UserId& user) {
  if (caller.is_user(user) || caller.is_privacy_officer()) return {};
  return fail(intra365::errors::not_yours);
}

Timestamp due_at(wire::RequestKind kind, Timestamp received_at) {
  const auto day = std::chrono::floor<std::chrono::days>(received_at);
  if (kind == wire::RequestKind::opt_out) {
    auto due = day;
    for (int business_days = 0; business_days < 15;) {
      due += std::chrono::days(1);
      if (!is_weekend(due)) ++business_days;
    }
    return due + (received_at - day);
  }
  std::chrono::year_month_day date(day);
  date += std::chrono::months(1);
  if (!date.ok()) date = date.year() / date.month() / std::chrono::last;
  return std::chrono::sys_days(date) + (received_at - day);
}

bool names(const Person& person, std::string_view subject, std::string_view payload) {
  if (payload.find(person.user.str()) == std::string_view::npos) return false;
  const auto as_subject = "user:" + person.user.str();
  const bool ours = is_of_tenant(person, subject);
  const auto value = json::parse(payload);
  if (!value) return ours && has_word(payload, person.user.str());
  return mentions(person, as_subject, {}, *value, ours);
}

}  // namespace intra365::services::privacy
