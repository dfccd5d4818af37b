#include "policy/expression.hpp"

namespace intra365::policy {

Result<std::shared_ptr<const Expression>> compile_expression(std::string_view, const Pointer& at) {
  return at.refuse("expressions are not available in this build");
}

}  // namespace intra365::policy
