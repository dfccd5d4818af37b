#include "cel/functions.hpp"

#include <algorithm>
#include <limits>
#include <unordered_map>

namespace intra365::cel {
namespace {

FunctionInfo info_of(const FunctionEntry& entry) {
  FunctionInfo info;
  info.global = entry.as != CalledAs::receiver;
  info.receiver = entry.as != CalledAs::global;
  info.forms = forms_of(entry.forms);
  info.call = entry.call;
  info.least = std::numeric_limits<std::size_t>::max();
  for (const auto& form : info.forms) {
    info.least = std::min(info.least, form.takes.size());
    info.most = std::max(info.most, form.repeats ? std::size_t{255} : form.takes.size());
  }
  return info;
}

using Table = std::unordered_map<std::string_view, FunctionInfo>;

const Table& table() {
  static const Table functions = [] {
    Table made;
    for (const auto list :
         {core_functions(), time_functions(), string_functions(), math_functions(), collection_functions()}) {
      for (const auto& entry : list) made.emplace(entry.name, info_of(entry));
    }
    return made;
  }();
  return functions;
}

}  // namespace

const FunctionInfo* find_function(std::string_view name) {
  const auto found = table().find(name);
  return found == table().end() ? nullptr : &found->second;
}

}  // namespace intra365::cel
