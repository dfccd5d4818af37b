#include "policy/errors.hpp"

namespace intra365::policy {

std::string Pointer::text() const {
  if (parent_ == nullptr) return {};
  auto text = parent_->text() + "/";
  if (is_index_) return text + std::to_string(index_);
  for (const char c : name_.substr(0, 64)) {
    if (c == '~')
      text += "~0";
    else if (c == '/')
      text += "~1";
    else
      text += static_cast<unsigned char>(c) < ' ' ? '?' : c;
  }
  return text;
}

Failure Pointer::refuse(std::string_view why) const {
  const auto where = text();
  return fail(errors::bad_policy, (where.empty() ? "the policy" : where) + ": " + std::string(why));
}

}  // namespace intra365::policy
