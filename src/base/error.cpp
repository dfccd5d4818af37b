#include "base/error.hpp"

namespace intra365 {

ErrorKind error_kind(int status) {
  switch (status) {
    case 401:
      return ErrorKind::unauthenticated;
    case 403:
      return ErrorKind::denied;
    case 404:
      return ErrorKind::not_found;
    case 409:
      return ErrorKind::conflict;
    case 429:
      return ErrorKind::exhausted;
    case 503:
      return ErrorKind::unavailable;
    case 408:
    case 504:
      return ErrorKind::deadline;
    default:
      return status >= 400 && status < 500 ? ErrorKind::invalid : ErrorKind::internal;
  }
}

std::string_view to_string(ErrorKind kind) {
  constexpr std::string_view names[] = {"invalid",   "unauthenticated", "denied",   "not_found", "conflict",
                                        "exhausted", "unavailable",     "deadline", "internal"};
  return names[static_cast<int>(kind)];
}

}  // namespace intra365
