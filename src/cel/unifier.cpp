#include "cel/unifier.hpp"

#include <array>

namespace intra365::cel {
namespace {

using Kind = Type::Kind;

bool is_number(Kind kind) {
  return kind == Kind::integer || kind == Kind::unsigned_integer || kind == Kind::real ||
         kind == Kind::number;
}

bool may_be_null(Kind kind) {
  return kind == Kind::null || kind == Kind::timestamp || kind == Kind::duration || kind == Kind::optional ||
         kind == Kind::wrapper;
}

}  // namespace

Form Unifier::instance(const Form& form) {
  std::array<std::optional<Type>, 26> letters;
  const auto renamed = [&](const auto& self, const Type& type) -> Type {
    if (type.kind == Kind::variable) {
      auto& own = letters[type.variable];
      if (!own) own = fresh();
      return *own;
    }
    Type copy = type;
    for (auto& part : copy.of) part = self(self, part);
    return copy;
  };
  Form copy;
  copy.repeats = form.repeats;
  for (const auto& one : form.takes) copy.takes.push_back(renamed(renamed, one));
  copy.gives = renamed(renamed, form.gives);
  return copy;
}

const Type& Unifier::known(const Type& type) const {
  const auto* at = &type;
  while (at->kind == Kind::variable && bindings_[at->variable]) at = &*bindings_[at->variable];
  return *at;
}

bool Unifier::occurs(std::uint32_t variable, const Type& type) const {
  const auto& whole = known(type);
  if (whole.kind == Kind::variable) return whole.variable == variable;
  for (const auto& part : whole.of) {
    if (occurs(variable, part)) return true;
  }
  return false;
}

void Unifier::learn(std::uint32_t variable, Type type) {
  learned_.emplace_back(variable, bindings_[variable]);
  bindings_[variable] = std::move(type);
}

void Unifier::back_to(std::size_t mark) {
  while (learned_.size() > mark) {
    bindings_[learned_.back().first] = std::move(learned_.back().second);
    learned_.pop_back();
  }
}

bool Unifier::assign_pairs(const Type& target, const Type& from) {
  for (std::size_t i = 0; i < target.of.size(); ++i) {
    if (!assign(target.of[i], from.of[i])) return false;
  }
  return true;
}

bool Unifier::assign(const Type& wanted, const Type& given) {
  if (wanted.kind == Kind::variable && bindings_[wanted.variable]) {
    // Known already: it may become more general by what is given now.
    const auto before = resolved(wanted);
    if (before.kind != Kind::variable) {
      if (!assign(before, given)) return false;
      learn(wanted.variable, covering(before, given));
      return true;
    }
  }
  const auto target = known(wanted), from = known(given);
  if (target.kind == Kind::variable && from.kind == Kind::variable && target.variable == from.variable)
    return true;
  if (target.kind == Kind::variable) {
    if (occurs(target.variable, from)) return false;
    return learn(target.variable, from), true;
  }
  if (from.kind == Kind::variable) {
    if (occurs(from.variable, target)) return false;
    return learn(from.variable, target), true;
  }
  if (target.kind == Kind::dyn || from.kind == Kind::dyn) return true;
  if (target.kind == Kind::wrapper) {
    if (from.kind == Kind::null) return true;
    return assign(target.of[0], from.kind == Kind::wrapper ? from.of[0] : from);
  }
  if (from.kind == Kind::wrapper) return assign(target, from.of[0]);
  if (target.kind == Kind::number) return is_number(from.kind);
  if (from.kind == Kind::null) return may_be_null(target.kind);
  if (target.kind == Kind::null) return may_be_null(from.kind);
  if (target.kind != from.kind) return false;
  return target.kind == Kind::type || assign_pairs(target, from);
}

Type Unifier::covering(const Type& one, const Type& other) const {
  const auto &a = known(one), &b = known(other);
  if (a.kind == Kind::variable) return b;
  if (b.kind == Kind::variable) return a;
  if (a.kind == Kind::dyn || b.kind == Kind::dyn) return Kind::dyn;
  if (a.kind == Kind::null) return b;
  if (b.kind == Kind::null) return a;
  if (a.kind == Kind::wrapper) return a;
  if (b.kind == Kind::wrapper) return b;
  if (a.kind != b.kind) return Kind::dyn;
  Type both = a;
  for (std::size_t i = 0; i < both.of.size(); ++i) both.of[i] = covering(a.of[i], b.of[i]);
  return both;
}

Type Unifier::resolved(const Type& type, bool final) const {
  Type whole = known(type);
  if (whole.kind == Kind::variable && final) return Kind::dyn;
  for (auto& part : whole.of) part = resolved(part, final);
  return whole;
}

}  // namespace intra365::cel
