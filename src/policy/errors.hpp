// What can be wrong with a policy, and how its place is told.
#pragma once
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace intra365::errors {
inline constexpr ErrorCode bad_policy{ErrorKind::invalid, "policy.invalid",
                                      "The policy is not well-formed; the message says where."};
}  // namespace intra365::errors

namespace intra365::policy {

/// A JSON pointer (RFC 6901) that grows while a document is walked. A child names its parent, so nothing is
/// copied unless a fault is told.
class Pointer {
 public:
  Pointer() = default;
  Pointer(const Pointer& parent, std::string_view name) : parent_(&parent), name_(name) {}
  Pointer(const Pointer& parent, std::size_t index) : parent_(&parent), index_(index), is_index_(true) {}
  /// `/rules/0/conditions/user.country`; a name longer than 64 characters is cut.
  std::string text() const;
  /// `policy.invalid`: "/rules/0/actions: why".
  Failure refuse(std::string_view why) const;

 private:
  const Pointer* parent_ = nullptr;
  std::string_view name_;
  std::size_t index_ = 0;
  bool is_index_ = false;
};

}  // namespace intra365::policy
