// `'%s has %d'.format(['a', 1])`.
#pragma once
#include "cel/evaluation.hpp"

namespace intra365::cel {

/// The text with its clauses filled in: %s %d %f %e %b %o %x %X %%, with a precision where there are digits
/// behind a point.
Value format_text(Evaluation& evaluation, std::string_view pattern, const Value& arguments);

}  // namespace intra365::cel
