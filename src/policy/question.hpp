// What the engine is asked, what it answers, and the memory it works in.
#pragma once
#include <boost/json/object.hpp>
#include <string_view>
#include <vector>

#include "contract/operations/policy.hpp"
#include "policy/bitmap.hpp"
#include "policy/condition.hpp"

namespace intra365::policy {

/// The question. Attribute paths in conditions begin with one of: subject, user, mate, resource, action,
/// consent, context.
struct Question {
  std::string_view subject;                         ///< `mate:assistant`
  std::string_view action;                          ///< `call`
  std::string_view resource;                        ///< `mate:image-analyzer/image-analysis/analyze-image`
  const boost::json::object* attributes = nullptr;  ///< `{"context":{…},"user":{…},"consent":{…},…}`
};

/// A rule that applied, or that could not be evaluated.
struct Hit {
  std::uint32_t segment = 0, rule = 0;  ///< in the snapshot that answered
  RuleEffect effect = RuleEffect::deny;
  Truth truth = Truth::yes;
  std::uint32_t path = 0;  ///< the attribute at fault, when `truth` is missing or wrong_type
};

struct Verdict {
  Decision decision = Decision::deny;
  Cause cause = Cause::no_permit;
  std::uint64_t tier = 0;  ///< that decided; 0 when no rule applied
  bool allowed() const { return decision == Decision::allow; }
};

/// Memory for decisions, kept between them so that none allocates. One per thread; any snapshot may use it.
class Scratch {
 public:
  /// The rules of the deciding tier that applied, of both effects, behind the last decision.
  const std::vector<Hit>& hits() const { return hits_; }

 private:
  friend class Segment;
  friend class Snapshot;
  struct Attribute {
    std::uint32_t stamp = 0;
    enum : std::uint8_t { absent, scalar, list, other } kind = absent;
    std::uint32_t value = 0;           ///< number of a scalar, kNone when no policy mentions it
    std::uint32_t begin = 0, end = 0;  ///< of a list's numbers in `items_`
    const boost::json::value* json = nullptr;
  };
  struct Shared {
    std::uint32_t stamp = 0;
    Truth truth = Truth::no;
  };
  std::uint32_t stamp_ = 0;
  std::array<const boost::json::value*, kRoots.size()> roots_{};
  std::uint32_t known_roots_ = 0;  ///< a bit for each of `roots_` that was looked up
  std::vector<Attribute> attributes_;
  std::vector<Shared> shared_;
  std::vector<std::uint32_t> items_;
  std::vector<Lane> lanes_;
  std::vector<Hit> hits_;
  std::uint64_t tier_ = 0;
  Hit near_;  ///< an allow rule that could not be evaluated
  bool has_near_ = false;
};

}  // namespace intra365::policy
