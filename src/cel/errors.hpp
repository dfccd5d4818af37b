// What can be wrong with an expression before it runs. What goes wrong while it runs is a value: see
// value.hpp.
#pragma once
#include "base/error.hpp"

namespace intra365::cel::errors {
inline constexpr ErrorCode syntax{ErrorKind::invalid, "cel.syntax",
                                  "The expression is not well-formed; the message names line and column."};
inline constexpr ErrorCode undeclared{ErrorKind::invalid, "cel.undeclared",
                                      "The expression names something that does not exist here."};
inline constexpr ErrorCode type{
    ErrorKind::invalid, "cel.type",
    "The types in the expression can never fit; the message names line and column."};
inline constexpr ErrorCode too_large{ErrorKind::invalid, "cel.too_large",
                                     "The expression is longer or deeper than allowed."};
inline constexpr ErrorCode evaluation{ErrorKind::invalid, "cel.evaluation",
                                      "The expression ended in an error; the message says which."};
}  // namespace intra365::cel::errors
