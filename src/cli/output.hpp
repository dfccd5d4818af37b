// What commands print: JSON for machines, sentences for people.
#pragma once
#include <boost/describe.hpp>
#include <iostream>
#include <string>

#include "cli/target.hpp"

namespace intra365::cli {

template <class T>
void print(const Target& target, const T& reply, const std::string& text) {
  std::cout << (target.json ? json::encode(reply) : text) << std::endl;
}

/// The name of a described enumerator.
template <class Enum>
std::string word(Enum value) {
  return boost::describe::enum_to_string(value, "unknown");
}

/// `a,b,c`.
template <class Names>
std::string joined(const Names& list) {
  std::string text;
  for (const auto& one : list) text += (text.empty() ? "" : ",") + one.str();
  return text;
}

}  // namespace intra365::cli
