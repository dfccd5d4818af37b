// Expected failures are values. A function that can fail returns Result<T>; its error carries a stable
// documented code for programs and a sentence for people. Bugs are asserts, not errors.
#pragma once
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace intra365 {

/// What a caller can do about a failure. Each kind has one HTTP status and one NATS service error code.
enum class ErrorKind : std::uint8_t {
  invalid,          ///< the request itself is wrong; sending it again cannot help (400)
  unauthenticated,  ///< no proof of identity, or one that does not hold (401)
  denied,           ///< identity is known; role, policy or consent says no (403)
  not_found,        ///< the thing asked for does not exist for this caller (404)
  conflict,         ///< somebody else changed it first, or it exists already (409)
  exhausted,        ///< a quota or a bounded queue is full; try later (429)
  unavailable,      ///< a dependency is away; safe to try again (503)
  deadline,         ///< not finished in time; the outcome may be unknown (504)
  internal,         ///< our fault (500)
};

/// One row of the error registry: declared as data beside the code that returns it, listed in
/// docs/generated/errors.md. `code` is stable for ever, `meaning` says what to do about it.
struct ErrorCode {
  ErrorKind kind;
  std::string_view code;
  std::string_view meaning;
};

/// A failure as it travels. `detail` is a sentence for people and never carries personal data or secrets.
struct Error {
  ErrorKind kind = ErrorKind::internal;
  std::string code;
  std::string detail;

  Error() = default;
  Error(ErrorKind kind, std::string code, std::string detail)
      : kind(kind), code(std::move(code)), detail(std::move(detail)) {}
  explicit Error(const ErrorCode& declared, std::string detail = {})
      : kind(declared.kind),
        code(declared.code),
        detail(detail.empty() ? std::string(declared.meaning) : std::move(detail)) {}

  bool is(const ErrorCode& declared) const { return code == declared.code; }
  friend bool operator==(const Error&, const Error&) = default;
};

template <class T>
using Result = std::expected<T, Error>;
using Failure = std::unexpected<Error>;

/// Returns a declared failure: `return fail(errors::consent_expired);`
inline Failure fail(const ErrorCode& declared, std::string detail = {}) {
  return Failure(Error(declared, std::move(detail)));
}
inline Failure fail(Error error) {
  return Failure(std::move(error));
}

/// HTTP status of a kind; also the value of `Nats-Service-Error-Code`.
constexpr int http_status(ErrorKind kind) {
  constexpr int statuses[] = {400, 401, 403, 404, 409, 429, 503, 504, 500};
  return statuses[static_cast<int>(kind)];
}
/// The kind a status stands for; unknown 4xx are `invalid`, everything else `internal`.
ErrorKind error_kind(int http_status);
std::string_view to_string(ErrorKind kind);

namespace errors {
inline constexpr ErrorCode internal{
    ErrorKind::internal, "internal",
    "Something is wrong on our side; the log has the details under the trace id."};
inline constexpr ErrorCode bad_token{ErrorKind::invalid, "subject.bad_token",
                                     "An identifier must match [A-Za-z0-9_-]{1,64}."};
inline constexpr ErrorCode bad_time{ErrorKind::invalid, "request.bad_time",
                                    "A time must be RFC 3339 in UTC, such as 2026-10-29T10:00:00Z."};
inline constexpr ErrorCode bad_name{ErrorKind::invalid, "request.bad_name",
                                    "A scope, purpose or capability must match [A-Za-z0-9_.:-]{1,128}."};
}  // namespace errors
}  // namespace intra365

#define INTRA365_CONCAT_(a, b) a##b
#define INTRA365_CONCAT(a, b) INTRA365_CONCAT_(a, b)
#define INTRA365_TRY_(temporary, return_, declaration, ...)                  \
  auto temporary = (__VA_ARGS__);                                            \
  if (!temporary) return_ ::std::unexpected(::std::move(temporary).error()); \
  declaration = *::std::move(temporary)
/// `TRY(const auto user, find(id));` binds the value, or returns the error from the enclosing function.
#define TRY(declaration, ...) \
  INTRA365_TRY_(INTRA365_CONCAT(try_result_, __LINE__), return, declaration, __VA_ARGS__)
/// The same inside a coroutine: `CO_TRY(const auto row, co_await store.find(id));`
#define CO_TRY(declaration, ...) \
  INTRA365_TRY_(INTRA365_CONCAT(try_result_, __LINE__), co_return, declaration, __VA_ARGS__)
/// For Result<void>, or where the value is not needed.
#define CHECK(...)                                      \
  if (auto check_result = (__VA_ARGS__); !check_result) \
  return ::std::unexpected(::std::move(check_result).error())
#define CO_CHECK(...)                                   \
  if (auto check_result = (__VA_ARGS__); !check_result) \
  co_return ::std::unexpected(::std::move(check_result).error())
