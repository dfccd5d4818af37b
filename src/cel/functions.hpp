// The functions an expression may call, by name.
#pragma once
#include "cel/node.hpp"
#include "cel/types.hpp"

namespace intra365::cel {

enum class CalledAs : std::uint8_t { global, receiver, both };  ///< f(x), x.f()

/// How a function is declared. `forms` says what it takes and gives: see `forms_of`.
struct FunctionEntry {
  std::string_view name;
  CalledAs as;
  std::string_view forms;
  cel::Function call;
};

struct FunctionInfo {
  bool global = false, receiver = false;
  std::size_t least = 0, most = 0;  ///< arguments, the receiver counted
  std::vector<Form> forms;
  cel::Function call = nullptr;
};

/// None where there is no such function.
const FunctionInfo* find_function(std::string_view name);

std::span<const FunctionEntry> core_functions();
std::span<const FunctionEntry> time_functions();
std::span<const FunctionEntry> string_functions();
std::span<const FunctionEntry> math_functions();
std::span<const FunctionEntry> collection_functions();

}  // namespace intra365::cel
