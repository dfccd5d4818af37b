#include "cel/lexer.hpp"

#include <algorithm>
#include <array>

namespace intra365::cel {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
int hex_digit(char c) {
  return is_digit(c)            ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

class Lexer {
 public:
  Lexer(std::string_view source, const Limits& limits) : source_(source), limits_(limits) {}

  Result<std::vector<Token>> run() {
    if (source_.size() > limits_.source_bytes)
      return fail(errors::too_large,
                  "The expression is longer than " + std::to_string(limits_.source_bytes) + " bytes.");
    if (!is_utf8(source_)) return fail(errors::syntax, "The expression is not UTF-8.");
    for (;;) {
      skip_blanks();
      Token token;
      token.position = static_cast<std::uint32_t>(at_);
      if (at_ == source_.size()) {
        tokens_.push_back(std::move(token));
        return std::move(tokens_);
      }
      CHECK(read(token));
      tokens_.push_back(std::move(token));
    }
  }

 private:
  char peek(std::size_t ahead = 0) const {
    return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0';
  }
  Failure refuse_here(std::string why) const {
    return refuse(errors::syntax, source_, static_cast<std::uint32_t>(at_), std::move(why));
  }

  void skip_blanks() {
    while (at_ < source_.size()) {
      const char c = peek();
      if (c == '/' && peek(1) == '/') {
        at_ = std::min(source_.find('\n', at_), source_.size());
      } else if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f') {
        ++at_;
      } else {
        return;
      }
    }
  }

  Result<void> read(Token& token) {
    const char c = peek();
    if (is_letter(c)) {
      if (starts_string()) return read_string(token);
      token.kind = TokenKind::identifier;
      while (is_letter(peek()) || is_digit(peek())) token.text += source_[at_++];
      return {};
    }
    if (c == '"' || c == '\'') return read_string(token);
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return read_number(token);
    if (c == '`') return read_quoted(token);
    constexpr std::array<std::string_view, 27> kSymbols{"<=", ">=", "==", "!=", "&&", "||", "[", "]", "{",
                                                        "}",  "(",  ")",  ".",  ",",  "-",  "!", "?", ":",
                                                        "+",  "*",  "/",  "%",  "<",  ">",  "=", "&", "|"};
    for (const auto symbol : kSymbols) {
      if (!source_.substr(at_).starts_with(symbol)) continue;
      if (symbol == "=" || symbol == "&" || symbol == "|") break;
      token.kind = TokenKind::symbol;
      token.text = symbol;
      at_ += symbol.size();
      return {};
    }
    return refuse_here("unexpected character");
  }

  /// `r"…"`, `b'…'`, `rb"""…"""` and their like.
  bool starts_string() const {
    std::size_t ahead = 0;
    bool raw = false, bytes = false;
    for (; ahead < 2; ++ahead) {
      const char c = peek(ahead);
      if ((c == 'r' || c == 'R') && !raw)
        raw = true;
      else if ((c == 'b' || c == 'B') && !bytes)
        bytes = true;
      else
        break;
    }
    return ahead > 0 && (peek(ahead) == '"' || peek(ahead) == '\'');
  }

  Result<void> read_string(Token& token) {
    bool raw = false;
    token.kind = TokenKind::string;
    for (; peek() != '"' && peek() != '\''; ++at_) {
      if (peek() == 'b' || peek() == 'B')
        token.kind = TokenKind::bytes;
      else
        raw = true;
    }
    const char quote = peek();
    const bool triple = peek(1) == quote && peek(2) == quote;
    at_ += triple ? 3 : 1;
    for (;;) {
      if (at_ >= source_.size()) return refuse_here("a string does not end");
      const char c = peek();
      if (c == quote && (!triple || (peek(1) == quote && peek(2) == quote))) {
        at_ += triple ? 3 : 1;
        return {};
      }
      if (!triple && (c == '\n' || c == '\r')) return refuse_here("a string ends before its line");
      if (c == '\\' && !raw) {
        CHECK(read_escape(token));
        continue;
      }
      token.text += c;
      ++at_;
    }
  }

  Result<void> read_escape(Token& token) {
    ++at_;
    const char c = peek();
    ++at_;
    constexpr std::string_view kNames = "abfnrtv\\?\"'`", kMeanings = "\a\b\f\n\r\t\v\\?\"'`";
    if (const auto found = kNames.find(c); found != std::string_view::npos && c != '\0') {
      token.text += kMeanings[found];
      return {};
    }
    if (c >= '0' && c <= '3') {
      std::uint32_t number = static_cast<std::uint32_t>(c - '0');
      for (int i = 0; i < 2; ++i, ++at_) {
        if (peek() < '0' || peek() > '7') return refuse_here("an octal escape has three digits, up to \\377");
        number = number * 8 + static_cast<std::uint32_t>(peek() - '0');
      }
      add(token, number, true);
      return {};
    }
    const int digits = c == 'x' || c == 'X' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0) return refuse_here("unknown escape");
    std::uint32_t number = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      const int digit = hex_digit(peek());
      if (digit < 0) return refuse_here("an escape lacks digits");
      number = number * 16 + static_cast<std::uint32_t>(digit);
    }
    if (number > 0x10ffff || (number >= 0xd800 && number < 0xe000)) return refuse_here("not a code point");
    add(token, number, digits == 2);
    return {};
  }

  /// Octal and two-digit escapes are bytes where bytes are written; everything else is a character.
  static void add(Token& token, std::uint32_t number, bool short_form) {
    if (token.kind == TokenKind::bytes && short_form)
      token.text += static_cast<char>(number);
    else
      append_utf8(token.text, number);
  }

  Result<void> read_number(Token& token) {
    token.kind = TokenKind::integer;
    if (peek() == '0' && (peek(1) == 'x' || peek(1) == 'X')) {
      token.text = "0x";
      at_ += 2;
      if (hex_digit(peek()) < 0) return refuse_here("a number lacks digits");
      while (hex_digit(peek()) >= 0) token.text += source_[at_++];
    } else {
      const auto digits = [&] {
        while (is_digit(peek())) token.text += source_[at_++];
      };
      digits();
      if (peek() == '.' && is_digit(peek(1))) {
        token.kind = TokenKind::real;
        token.text += source_[at_++];
        digits();
      }
      const std::size_t sign = peek(1) == '+' || peek(1) == '-' ? 2 : 1;
      if ((peek() == 'e' || peek() == 'E') && is_digit(peek(sign))) {
        token.kind = TokenKind::real;
        token.text += source_.substr(at_, sign);
        at_ += sign;
        digits();
      }
    }
    if ((peek() == 'u' || peek() == 'U') && token.kind == TokenKind::integer) {
      token.kind = TokenKind::unsigned_integer;
      ++at_;
    }
    if (is_letter(peek())) return refuse_here("a number runs into a name");
    return {};
  }

  Result<void> read_quoted(Token& token) {
    token.kind = TokenKind::quoted;
    for (++at_; peek() != '`'; ++at_) {
      const char c = peek();
      if (!is_letter(c) && !is_digit(c) && c != '.' && c != '-' && c != '/' && c != ' ')
        return refuse_here("not a character for a name in backticks");
      token.text += c;
    }
    ++at_;
    if (token.text.empty()) return refuse_here("a name in backticks is empty");
    return {};
  }

  std::string_view source_;
  const Limits& limits_;
  std::size_t at_ = 0;
  std::vector<Token> tokens_;
};

}  // namespace

Result<std::vector<Token>> tokens_of(std::string_view source, const Limits& limits) {
  return Lexer(source, limits).run();
}

Failure refuse(const ErrorCode& code, std::string_view source, std::uint32_t position, std::string why) {
  const auto before = source.substr(0, position);
  const auto line = 1 + std::ranges::count(before, '\n');
  const auto begin = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  const auto text = source.substr(begin, std::min<std::size_t>(source.find('\n', begin) - begin, 200));
  const auto column = position - begin;
  std::string message = std::to_string(line) + ":" + std::to_string(column + 1) + ": " + std::move(why);
  if (column <= 200) message += "\n  " + std::string(text) + "\n  " + std::string(column, ' ') + "^";
  return fail(code, std::move(message));
}

void append_utf8(std::string& text, std::uint32_t code_point) {
  const auto add = [&](std::uint32_t byte) { text += static_cast<char>(byte); };
  if (code_point < 0x80) return add(code_point);
  if (code_point < 0x800) {
    add(0xc0 | code_point >> 6);
  } else if (code_point < 0x10000) {
    add(0xe0 | code_point >> 12);
    add(0x80 | (code_point >> 6 & 0x3f));
  } else {
    add(0xf0 | code_point >> 18);
    add(0x80 | (code_point >> 12 & 0x3f));
    add(0x80 | (code_point >> 6 & 0x3f));
  }
  add(0x80 | (code_point & 0x3f));
}

bool next_code_point(std::string_view& text, std::uint32_t& code_point) {
  if (text.empty()) return false;
  const auto first = static_cast<unsigned char>(text.front());
  const std::size_t length = first < 0x80       ? 1
                             : first >> 5 == 6  ? 2
                             : first >> 4 == 14 ? 3
                             : first >> 3 == 30 ? 4
                                                : 0;
  if (length == 0 || text.size() < length) return false;
  code_point = length == 1 ? first : first & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if (next >> 6 != 2) return false;
    code_point = code_point << 6 | (next & 0x3f);
  }
  constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code_point < kLeast[length] || code_point > 0x10ffff || (code_point >= 0xd800 && code_point < 0xe000))
    return false;
  text.remove_prefix(length);
  return true;
}

bool is_utf8(std::string_view text) {
  std::uint32_t code_point = 0;
  while (!text.empty()) {
    if (!next_code_point(text, code_point)) return false;
  }
  return true;
}

}  // namespace intra365::cel
