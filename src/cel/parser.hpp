// Texts to nodes: the grammar, the macros, and what names may mean.
#pragma once
#include "cel/lexer.hpp"
#include "cel/node.hpp"
#include "cel/program.hpp"

namespace intra365::cel {

struct Parsed {
  std::vector<Node> nodes;
  std::uint32_t root = 0;
  std::uint32_t slots = 0;  ///< variables of macros that are alive at once
  std::vector<std::string> variables;
  std::vector<std::string> references;
};

/// Finds what each name may mean, and which variables and attributes the expression reads. In names.cpp.
Result<void> give_meaning(Parsed& parsed, std::string_view source, const Environment& environment,
                          Arena& texts);

/// `texts` keeps the constants' texts; they must outlive the nodes.
Result<Parsed> parse(std::string_view source, const Environment& environment, Arena& texts);

}  // namespace intra365::cel
