// The types an expression's parts have before it runs, as the checker works them out.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "cel/errors.hpp"

namespace intra365::cel {

struct Type {
  enum class Kind : std::uint8_t {
    dyn,  ///< anything; what it is shows when the expression runs
    null,
    boolean,
    integer,
    unsigned_integer,
    real,
    string,
    bytes,
    timestamp,
    duration,
    list,      ///< of elements
    map,       ///< of keys and values
    optional,  ///< of what it may hold
    type,      ///< of what it names
    wrapper,   ///< a plain type, or null
    number,    ///< int, uint or double: in signatures only
    variable,  ///< not known yet: `number_of_variable`
  };
  Kind kind = Kind::dyn;
  std::uint32_t variable = 0;
  std::vector<Type> of;

  Type() = default;
  Type(Kind kind) : kind(kind) {}  // NOLINT(google-explicit-constructor): a plain type is its kind
  Type(Kind kind, std::vector<Type> of) : kind(kind), of(std::move(of)) {}
  bool operator==(const Type&) const = default;
};

/// As the language writes it: `list(int)`, `map(string, dyn)`, `wrapper(int)`.
std::string to_text(const Type& type);
/// Reads what `to_text` writes. One capital letter is a type variable. Fails with `cel.type`.
Result<Type> read_type(std::string_view text);

/// One way to call a function: the types it takes, the receiver first, and the type it gives.
struct Form {
  std::vector<Type> takes;
  Type gives;
  bool repeats = false;  ///< the last one may come again
};
/// Reads forms such as `string,int:string list(A)...:A`, separated by spaces. For the tables in this folder:
/// a mistake in one ends the program when it starts.
std::vector<Form> forms_of(std::string_view text);

}  // namespace intra365::cel
