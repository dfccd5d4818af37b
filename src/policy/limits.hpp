// Every bound of the engine in one place. What exceeds one is refused at publication; a request that exceeds
// one is refused, or its condition is an error, which never allows.
#pragma once
#include <cstddef>
#include <cstdint>

namespace intra365::policy::limits {

inline constexpr std::size_t kRules = 200;            ///< of a policy
inline constexpr std::size_t kPatterns = 200;         ///< of one field of a rule
inline constexpr std::size_t kConditions = 50;        ///< of a rule
inline constexpr std::size_t kPatternLength = 512;    ///< characters; also of a subject or resource asked for
inline constexpr std::size_t kActionLength = 128;     ///< characters
inline constexpr std::size_t kSegments = 16;          ///< of a pattern
inline constexpr std::size_t kWildcards = 8;          ///< of a pattern
inline constexpr std::size_t kColons = 4;             ///< in a segment before `:*`
inline constexpr std::size_t kPathLength = 256;       ///< characters of an attribute's path
inline constexpr std::size_t kPathNames = 8;          ///< names of an attribute's path
inline constexpr std::size_t kOperandLength = 4096;   ///< characters of a string to compare with
inline constexpr std::size_t kOperandItems = 1000;    ///< of a list to compare with
inline constexpr std::size_t kAttributeItems = 4096;  ///< of a list in a request
inline constexpr std::size_t kWhenLength = 8192;      ///< characters of an expression
inline constexpr std::size_t kObligations = 20;       ///< of a rule
inline constexpr std::size_t kTextLength = 2000;      ///< characters of reasons and descriptions
inline constexpr std::size_t kDocumentBytes = 1 << 20;   ///< of one policy as JSON
inline constexpr std::size_t kPolicies = 200'000;        ///< of a set
inline constexpr std::size_t kBatch = 1000;              ///< questions of a batch
inline constexpr int kSearchPage = 200;                  ///< results of a page
inline constexpr std::size_t kSearchSteps = 2000;        ///< candidates evaluated for a page
inline constexpr std::size_t kFilterColumns = 50;        ///< of a filter
inline constexpr std::size_t kFilterBytes = 256u << 10;  ///< of a filter's SQL
inline constexpr std::int64_t kPriority = 1'000'000;

}  // namespace intra365::policy::limits
