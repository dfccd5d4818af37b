#include "policy/attribute.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace intra365::policy {

namespace bj = boost::json;

Result<AttributePath> AttributePath::parse(std::string_view text, const Pointer& at) {
  if (text.size() > limits::kPathLength) return at.refuse("an attribute path has at most 256 characters");
  AttributePath path;
  path.text_ = text;
  for (std::size_t start = 0;;) {
    if (path.count_ == limits::kPathNames) return at.refuse("an attribute path has at most 8 names");
    path.starts_[path.count_++] = static_cast<std::uint16_t>(start);
    const auto dot = text.find('.', start);
    if (dot == start || start == text.size()) return at.refuse("a name in the attribute path is empty");
    if (dot == std::string_view::npos) break;
    start = dot + 1;
  }
  const auto root = std::ranges::find(kRoots, path.name(0));
  path.root_ = static_cast<std::uint8_t>(root - kRoots.begin());
  if (path.count_ < 2 || root == kRoots.end())
    return at.refuse(
        "must be a path below subject, user, mate, resource, action, consent or context, such as "
        "user.country");
  return path;
}

const bj::value* AttributePath::find_below(const bj::value* root) const {
  const auto* found = root;
  for (std::size_t i = 1; i < count_; ++i) {
    const auto* level = found == nullptr ? nullptr : found->if_object();
    if (level == nullptr) return nullptr;
    if (i + 1 < count_) {
      if (const auto* whole = level->if_contains(text_.substr(starts_[i]))) return whole;
    }
    found = level->if_contains(name(i));
  }
  return found;
}

Scalar Scalar::of(const bj::value& value) {
  switch (value.kind()) {
    case bj::kind::null:
      return {Kind::null, 0, {}};
    case bj::kind::bool_:
      return {Kind::boolean, value.get_bool(), {}};
    case bj::kind::int64:
      return {Kind::integer, static_cast<std::uint64_t>(value.get_int64()), {}};
    case bj::kind::uint64: {
      const auto number = value.get_uint64();
      return {std::in_range<std::int64_t>(number) ? Kind::integer : Kind::large, number, {}};
    }
    case bj::kind::double_: {
      const double number = value.get_double();
      if (number == std::trunc(number)) {
        if (number >= -0x1p63 && number < 0x1p63)
          return {Kind::integer, static_cast<std::uint64_t>(static_cast<std::int64_t>(number)), {}};
        if (number > 0 && number < 0x1p64) return {Kind::large, static_cast<std::uint64_t>(number), {}};
      }
      return {Kind::real, std::bit_cast<std::uint64_t>(number), {}};
    }
    case bj::kind::string:
      return {Kind::string, 0, std::string_view(value.get_string())};
    default:
      return {};
  }
}

}  // namespace intra365::policy
