// The `when` of a rule: an expression over the request's attributes, compiled once at publication.
#pragma once
#include <boost/json/object.hpp>
#include <memory>
#include <string>
#include <vector>

#include "policy/condition.hpp"

namespace intra365::policy {

/// Immutable; shared by every snapshot that holds its rule.
class Expression {
 public:
  virtual ~Expression() = default;
  /// Never throws; an expression that is not a boolean for this request is `failed`, an attribute that is not
  /// there is `missing` where that can be told.
  virtual Truth evaluate(const boost::json::object& attributes) const = 0;
  /// The attribute paths it reads, for explanations and lint.
  virtual std::vector<std::string> references() const = 0;
};

/// Fails with `policy.invalid`, the place of the field, and line:column within the source.
Result<std::shared_ptr<const Expression>> compile_expression(std::string_view source, const Pointer& at);

}  // namespace intra365::policy
