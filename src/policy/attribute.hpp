// Attributes of a request: where they stand, and what two of them being equal means.
#pragma once
#include <array>
#include <boost/json/object.hpp>
#include <string_view>

#include "policy/errors.hpp"
#include "policy/limits.hpp"

namespace intra365::policy {

/// The roots an attribute path may begin with.
inline constexpr std::array<std::string_view, 7> kRoots{"subject", "user",    "mate",   "resource",
                                                        "action",  "consent", "context"};

/// `context.device.os`, split. Views the text it was parsed from.
class AttributePath {
 public:
  AttributePath() = default;
  static Result<AttributePath> parse(std::string_view text, const Pointer& at);

  std::string_view text() const { return text_; }
  /// The attribute, or none. A name may itself hold dots (`{"user": {"home.country": "DE"}}`): the longest
  /// name that is there wins.
  const boost::json::value* find(const boost::json::object& attributes) const {
    return find_below(attributes.if_contains(name(0)));
  }
  /// The same, for who has looked up the root already; `root` may be none.
  const boost::json::value* find_below(const boost::json::value* root) const;
  /// Index in kRoots.
  std::size_t root() const { return root_; }

 private:
  std::string_view name(std::size_t index) const {
    const auto end = index + 1 == count_ ? text_.size() : starts_[index + 1] - std::size_t{1};
    return text_.substr(starts_[index], end - starts_[index]);
  }
  std::string_view text_;
  std::array<std::uint16_t, limits::kPathNames> starts_{};
  std::uint8_t count_ = 0, root_ = 0;
};

/// A JSON scalar in the one form in which equal values are identical: whole doubles are integers, integers
/// that fit are signed.
struct Scalar {
  enum class Kind : std::uint8_t { none, null, boolean, integer, large, real, string };
  Kind kind = Kind::none;  ///< `none`: a list or an object
  std::uint64_t bits = 0;
  std::string_view text;  ///< of a string

  static Scalar of(const boost::json::value& value);
  friend bool operator==(const Scalar&, const Scalar&) = default;
};

}  // namespace intra365::policy
