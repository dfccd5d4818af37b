// Texts of the language to tokens.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cel/errors.hpp"
#include "cel/limits.hpp"

namespace intra365::cel {

enum class TokenKind : std::uint8_t {
  end,
  identifier,
  quoted,   ///< an identifier in backticks
  integer,  ///< digits, decimal or 0x…; the sign is an operator
  unsigned_integer,
  real,
  string,
  bytes,
  symbol,  ///< an operator or a bracket
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::uint32_t position = 0;  ///< byte in the source
  std::string text;            ///< a literal without quotes and escapes
  bool is(std::string_view symbol) const { return kind == TokenKind::symbol && text == symbol; }
};

/// All tokens, the last one `end`. Fails with `cel.syntax` or `cel.too_large`.
Result<std::vector<Token>> tokens_of(std::string_view source, const Limits& limits);

/// A refusal that shows where: line:column, the line, and a caret below the place.
Failure refuse(const ErrorCode& code, std::string_view source, std::uint32_t position, std::string why);

/// Appends a code point as UTF-8.
void append_utf8(std::string& text, std::uint32_t code_point);
/// Takes one code point off the front; false where the text is not UTF-8.
bool next_code_point(std::string_view& text, std::uint32_t& code_point);
bool is_utf8(std::string_view text);

}  // namespace intra365::cel
