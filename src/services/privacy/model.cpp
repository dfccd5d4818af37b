#include "services/privacy/model.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "contract/errors.hpp"
#include "crypto/encoding.hpp"

namespace intra365::services::privacy {
namespace {

namespace bj = boost::json;

constexpr auto kAccessTime = std::chrono::days(30);  ///< looked at where nobody says since when
constexpr std::size_t kMaxAccessCursor = 16'000;

/// Members of ours that hold words, or ids of others: a person may have one of these words for an id.
constexpr std::array<std::string_view, 28> kWordMembers{
    "action",      "capabilities", "capability", "code",         "datacontenttype", "domain",    "event",
    "kind",        "language",     "mateId",     "mate_id",      "method",          "operation", "outcome",
    "purpose",     "purposes",     "roles",      "schema",       "scope",           "scopes",    "source",
    "specversion", "state",        "status",     "supersededBy", "table",           "tags",      "type"};
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

/// An id that stands for nothing else in a text: no word of a language, no number.
bool is_distinctive(std::string_view id) {
  constexpr std::size_t kShortest = 6;
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return id.size() >= kShortest && std::ranges::any_of(id, is_digit) && !std::ranges::all_of(id, is_digit);
}

template <class Found>
bool any_token(std::string_view subject, const Found& found) {
  for (std::size_t from = 0; from <= subject.size();) {
    const auto end = std::min(subject.find('.', from), subject.size());
    if (found(subject.substr(from, end - from))) return true;
    from = end + 1;
  }
  return false;
}

bool is_of_tenant(const Person& person, std::string_view subject) {
  return any_token(subject, [&](std::string_view token) {
    return token == person.account || token == person.tenant.str();
  });
}

/// What a key of a bucket says.
bool key_names(const Person& person, std::string_view subject) {
  constexpr std::string_view kBuckets = "$KV.";
  if (!subject.starts_with(kBuckets)) return false;
  const auto key = std::min(subject.find('.', kBuckets.size()), subject.size());
  return any_token(subject.substr(key), [&](std::string_view token) { return token == person.user.str(); });
}

/// The person, as JSON may name them.
struct Mention {
  const Person& person;
  const std::string& id = person.user.str();
  std::string subject = "user:" + id;
  bool distinctive = is_distinctive(id);

  bool in_text(std::string_view member, std::string_view text) const {
    if (text == id) return std::ranges::find(kWordMembers, member) == kWordMembers.end();
    // Resources are named by whoever asks about them, and often after a person.
    return has_word(text, subject) || ((distinctive || member == "resource") && has_word(text, id));
  }

  /// `ours`: it is known already that this part speaks of the person's tenant.
  bool in(std::string_view member, const bj::value& value, bool ours) const {
    if (const auto* text = value.if_string()) return ours && in_text(member, *text);
    if (const auto* array = value.if_array())
      return std::ranges::any_of(*array, [&](const bj::value& item) { return in(member, item, ours); });
    const auto* object = value.if_object();
    if (object == nullptr) return false;
    ours = is_ours(*object).value_or(ours);
    return std::ranges::any_of(*object, [&](const auto& item) {
      const std::string_view name = item.key();
      return (ours && (has_word(name, subject) || (distinctive && has_word(name, id)))) ||
             in(name, item.value(), ours);
    });
  }

  /// What an object says of its tenant; nothing where it does not.
  std::optional<bool> is_ours(const bj::object& object) const {
    for (const auto name : kTenantMembers) {
      if (const auto* tenant = object.if_contains(name); tenant != nullptr && tenant->is_string())
        return tenant->get_string() == person.tenant.str();
    }
    constexpr std::string_view kSource = "/intra365/";  // of an event
    const auto* source = object.if_contains("source");
    if (source == nullptr || !source->is_string()) return std::nullopt;
    const std::string_view text(source->get_string());
    if (!text.starts_with(kSource)) return std::nullopt;
    return text.substr(kSource.size()) == person.tenant.str();
  }
};

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

Result<AccessPosition> access_position(const wire::AccessRequest& request, Timestamp now) {
  if (request.cursor) {
    const auto text = request.cursor->size() <= kMaxAccessCursor ? crypto::decode_base64url(*request.cursor)
                                                                 : std::optional<std::string>();
    auto position = json::decode<AccessPosition>(text.value_or(""));
    if (!position) return fail(intra365::errors::bad_value, "cursor: not one that was given out");
    return position;
  }
  AccessPosition position;
  position.until = request.until.value_or(now);
  position.since = request.since.value_or(position.until - kAccessTime);
  return position;
}

std::string access_cursor(const AccessPosition& position, const wire::AccessEntry& last) {
  AccessPosition next;
  next.since = position.since;
  next.until = position.until;
  next.user_id = last.user_id;
  next.actor = last.actor;
  next.resource = last.resource;
  if (last.consent_id) next.consent = last.consent_id->str();
  if (last.purpose) next.purpose = last.purpose->str();
  next.outcome = last.outcome;
  next.recorded_by = last.recorded_by.value_or("");
  next.scopes = last.scopes;
  return crypto::base64url(json::encode(next));
}

bool names(const Person& person, std::string_view subject, std::string_view payload) {
  const bool ours = is_of_tenant(person, subject);
  if (ours && key_names(person, subject)) return true;
  // JSON may write any letter as an escape.
  const auto& id = person.user.str();
  if (payload.find(id) == std::string_view::npos && payload.find("\\u") == std::string_view::npos)
    return false;
  const auto value = json::parse(payload);
  if (!value) return ours && has_word(payload, id);
  return Mention{person}.in({}, *value, ours);
}

bool names_fragment(const Person& person, std::string_view fragment) {
  return has_word(fragment, person.user.str()) && has_word(fragment, person.tenant.str());
}

const AsideParts::Whole* AsideParts::add(std::string_view change, std::string_view part,
                                         std::uint64_t sequence, std::string_view payload) {
  unsigned number = 0, of = 0;
  const auto slash = std::min(part.find('/'), part.size());
  const auto read = [](std::string_view text, unsigned& into) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    return error == std::errc{} && end == text.data() + text.size();
  };
  if (!read(part.substr(0, slash), number) || !read(part.substr(std::min(slash + 1, part.size())), of))
    return nullptr;
  auto& whole = open_[std::string(change)];
  // Told once more after a crash between two parts.
  if (number == 1) whole.text.clear();
  whole.complete = number == 1 ? of == 1 : number == whole.parts + 1 && number == of;
  whole.parts = number == 1 || number == whole.parts + 1 ? number : 0;
  whole.sequences.push_back(sequence);
  if (whole.text.size() + payload.size() <= kMaxBytes) whole.text += payload;
  return &whole;
}

void AsideParts::forget(std::string_view change) {
  open_.erase(std::string(change));
}

std::optional<std::uint64_t> AsideParts::first_open() const {
  std::optional<std::uint64_t> first;
  for (const auto& [change, whole] : open_)
    first = std::min(first.value_or(whole.sequences.front()), whole.sequences.front());
  return first;
}

}  // namespace intra365::services::privacy
