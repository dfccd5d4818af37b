#include "contract/operation.hpp"

namespace intra365 {

std::string_view to_string(Method method) {
  constexpr std::string_view names[] = {"", "GET", "POST", "PUT", "DELETE"};
  return names[static_cast<int>(method)];
}

std::string_view to_string(Access access) {
  constexpr std::string_view names[] = {"guest",  "anyone", "mate", "operator", "platform-operator",
                                        "service"};
  return names[static_cast<int>(access)];
}

std::string_view to_string(Effect effect) {
  return effect == Effect::reads ? "reads" : "changes";
}

}  // namespace intra365
