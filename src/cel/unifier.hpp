// Type variables and what they turn out to be.
#pragma once
#include <optional>
#include <vector>

#include "cel/types.hpp"

namespace intra365::cel {

class Unifier {
 public:
  Type fresh() {
    Type type(Type::Kind::variable);
    type.variable = static_cast<std::uint32_t>(bindings_.size());
    bindings_.emplace_back();
    return type;
  }
  /// A signature with variables of its own in place of its letters.
  Form instance(const Form& form);
  /// Whether a value of type `from` may stand where `target` is wanted; variables of both learn from it.
  bool assign(const Type& target, const Type& from);
  /// The type that covers both, which are assignable.
  Type covering(const Type& a, const Type& b) const;
  /// With all variables that are known put in; the others are dyn where `final`.
  Type resolved(const Type& type, bool final = false) const;

  /// Everything learned since a mark can be unlearned.
  std::size_t mark() const { return learned_.size(); }
  void back_to(std::size_t mark);

 private:
  const Type& known(const Type& type) const;
  bool occurs(std::uint32_t variable, const Type& type) const;
  bool assign_pairs(const Type& target, const Type& from);
  void learn(std::uint32_t variable, Type type);

  std::vector<std::optional<Type>> bindings_;
  std::vector<std::pair<std::uint32_t, std::optional<Type>>> learned_;
};

}  // namespace intra365::cel
