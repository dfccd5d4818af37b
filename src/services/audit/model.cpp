#include "services/audit/model.hpp"

#include <algorithm>
#include <array>

#include "contract/errors.hpp"
#include "postgres/errors.hpp"

namespace intra365::services::audit {
namespace {

using intra365::audit::Entry;

constexpr std::array<std::string_view, 2> kActions{"call", "data.access"};
constexpr std::array<std::string_view, 3> kOutcomes{"allowed", "denied", "failed"};
constexpr std::string_view kReplacement = "\xEF\xBF\xBD";  // U+FFFD

Failure refuse(std::string_view why) {
  return fail(errors::bad_value, "entries: " + std::string(why));
}

bool is_caller(std::string_view actor) {
  if (actor == "guest") return true;
  for (const std::string_view kind : {"mate:", "user:"}) {
    if (actor.starts_with(kind)) return is_token(actor.substr(kind.size()));
  }
  return false;
}

bool is_resource_of(std::string_view resource, std::string_view mate) {
  const auto own = "mate:" + std::string(mate);
  return resource == own || resource.starts_with(own + "/");
}

Result<void> check_texts(const Entry& entry) {
  for (const auto* text : {&entry.actor, &entry.action, &entry.resource, &entry.outcome}) {
    if (text->empty() || text->size() > EntryLimits::text_bytes)
      return refuse("actor, action, resource and outcome have 1 to 512 bytes");
  }
  const auto code = entry.code.value_or(""), trace_id = entry.trace_id.value_or("");
  if (code.size() > EntryLimits::code_bytes || trace_id.size() > EntryLimits::trace_id_bytes ||
      entry.scopes.size() > EntryLimits::scopes)
    return refuse("a field is too long");
  for (const auto* text : {&entry.actor, &entry.action, &entry.resource, &entry.outcome, &code, &trace_id}) {
    if (text->find('\0') != std::string::npos) return refuse("text with a zero byte");
  }
  return {};
}

/// Every character that `is_fine` does not take becomes U+FFFD.
template <class Fine>
std::string replaced(std::string_view text, Fine is_fine) {
  std::string result;
  for (const char c : text) {
    if (is_fine(c))
      result += c;
    else
      result += kReplacement;
  }
  return result;
}

}  // namespace

Result<void> check_entry(const Entry& entry, std::string_view mate, Timestamp now) {
  if (!is_token(entry.entry_id)) return refuse("entryId must be an identifier");
  CHECK(check_texts(entry));
  if (std::ranges::find(kActions, entry.action) == kActions.end())
    return refuse("a Mate records call and data.access only");
  if (std::ranges::find(kOutcomes, entry.outcome) == kOutcomes.end())
    return refuse("outcome is allowed, denied or failed");
  if (!is_caller(entry.actor)) return refuse("actor is whom the Mate served: mate:<id>, user:<id> or guest");
  if (!is_resource_of(entry.resource, mate))
    return refuse("resource is the Mate itself, or begins mate:<its id>/");
  if (entry.count < 1 || entry.count > EntryLimits::count) return refuse("count: 1 to 1,000,000,000");
  const auto duration = entry.duration_us.value_or(0);
  if (duration < 0 || duration > EntryLimits::duration.count()) return refuse("durationUs: 0 to 7 days");
  if (entry.at < now - EntryLimits::oldest || entry.at > now + EntryLimits::youngest)
    return refuse("at is older than 30 days, or in the future");
  return {};
}

void make_storable(Entry& entry) {
  const auto clean = [](std::string& text) {
    if (text.find('\0') != std::string::npos) text = replaced(text, [](char c) { return c != '\0'; });
  };
  for (auto* text :
       {&entry.entry_id, &entry.source, &entry.actor, &entry.action, &entry.resource, &entry.outcome})
    clean(*text);
  if (entry.code) clean(*entry.code);
  if (entry.trace_id) clean(*entry.trace_id);
}

bool is_unstorable(const Error& error) {
  namespace of = postgres::errors;
  return error.is(of::invalid_value) || error.is(of::check_violation) || error.is(of::foreign_key_violation);
}

std::string legible(std::string_view bytes) {
  return replaced(bytes, [](char c) { return (c >= ' ' && c <= '~') || c == '\n' || c == '\t'; });
}

}  // namespace intra365::services::audit
