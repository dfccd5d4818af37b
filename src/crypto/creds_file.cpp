// Credentials files: a user JWT and its seed between marker lines.
#include "crypto/key_text.hpp"
#include "crypto/nats_jwt.hpp"

namespace intra365::crypto {
namespace {

constexpr std::size_t kMaxFile = 1 << 20;
constexpr std::string_view kJwtBegin = "-----BEGIN NATS USER JWT-----";
constexpr std::string_view kJwtEnd = "------END NATS USER JWT------";
constexpr std::string_view kSeedBegin = "-----BEGIN USER NKEY SEED-----";
constexpr std::string_view kSeedEnd = "------END USER NKEY SEED------";

std::string_view trim(std::string_view text) {
  constexpr std::string_view blank = " \t\r";
  const std::size_t first = text.find_first_not_of(blank);
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

/// Takes the next line that is not blank; empty at the end.
std::string_view next_line(std::string_view& text) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    if (!line.empty()) return line;
  }
  return {};
}

/// The one line between two markers; other text may stand before the first.
std::string_view between(std::string_view& text, std::string_view begin, std::string_view end) {
  std::string_view line;
  do line = next_line(text);
  while (!line.empty() && line != begin);
  const std::string_view content = next_line(text);
  return next_line(text) == end ? content : std::string_view{};
}

bool is_compact_jws(std::string_view text) {
  int dots = 0;
  for (const char c : text) {
    const bool known =
        (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (!known && c != '.') return false;
    dots += c == '.';
  }
  return dots == 2;
}

}  // namespace

std::string creds_file(std::string_view user_jwt, std::string_view seed) {
  std::string text;
  text.append(kJwtBegin).append("\n").append(user_jwt).append("\n").append(kJwtEnd).append("\n\n");
  text.append(kSeedBegin).append("\n").append(seed).append("\n").append(kSeedEnd).append("\n");
  return text;
}

Result<Credentials> parse_creds_file(std::string_view text) {
  if (text.size() > kMaxFile) return fail(errors::bad_creds, "The credentials file is larger than 1 MiB.");
  const std::string_view jwt = between(text, kJwtBegin, kJwtEnd);
  if (!is_compact_jws(jwt))
    return fail(errors::bad_creds, "The credentials file has no user JWT between its markers.");
  const std::string_view seed = between(text, kSeedBegin, kSeedEnd);
  const auto key = Nkey::from_seed(seed);
  if (!key || key->kind() != KeyKind::user)
    return fail(errors::bad_creds, "The credentials file has no user seed between its markers.");
  return Credentials{std::string(jwt), std::string(seed)};
}

}  // namespace intra365::crypto
