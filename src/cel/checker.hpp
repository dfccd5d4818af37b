// Works out the type of every part of an expression before it runs, and refuses what can never give a value.
#pragma once
#include "cel/parser.hpp"
#include "cel/types.hpp"

namespace intra365::cel {

/// The type of the whole. What cannot be known is `dyn`, and passes: it shows when the expression runs.
/// Fails with `cel.type`, `cel.undeclared` or, where it has another type than `checks` asks for, `cel.type`.
Result<Type> check(const Parsed& parsed, std::string_view source, const Checks& checks);

}  // namespace intra365::cel
