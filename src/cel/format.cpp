#include "cel/format.hpp"

#include <algorithm>
#include <cmath>

namespace intra365::cel {
namespace {

constexpr int kMaxPrecision = 1000, kMaxDepth = 32;

std::string number_text(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
  return double_text(value);
}

class Formatter {
 public:
  Formatter(Evaluation& evaluation, const Value& arguments)
      : evaluation_(evaluation), arguments_(arguments) {}

  Value run(std::string_view pattern) {
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (pattern[i] != '%') {
        made_ += pattern[i];
        continue;
      }
      if (++i == pattern.size()) return refuse("could not parse formatting clause: it ends too early");
      if (pattern[i] == '%') {
        made_ += '%';
        continue;
      }
      int precision = 6;
      if (pattern[i] == '.') {
        precision = 0;
        for (++i; i < pattern.size() && pattern[i] >= '0' && pattern[i] <= '9'; ++i)
          precision = std::min(precision * 10 + (pattern[i] - '0'), kMaxPrecision + 1);
        if (i == pattern.size() || precision > kMaxPrecision)
          return refuse("could not parse formatting clause: no such precision");
      }
      if (next_ >= arguments_.length()) return refuse("index " + std::to_string(next_) + " out of range");
      const auto problem = clause(pattern[i], precision, arguments_.at(next_++));
      if (!problem.empty()) return refuse(problem);
      if (!evaluation_.spend(1 + made_.size() / 64) || !evaluation_.arena().fits(made_.size()))
        return evaluation_.limit();
    }
    return evaluation_.string(made_);
  }

 private:
  Value refuse(std::string_view why) { return evaluation_.fail(Cause::bad_argument, why); }

  /// Empty, or what is wrong.
  std::string clause(char kind, int precision, const Value& value) {
    const bool whole = value.kind == Kind::integer || value.kind == Kind::unsigned_integer;
    const auto given = ", was given " + std::string(type_name(value.kind));
    switch (kind) {
      case 's':
        return text(value, 0);
      case 'd':
        if (whole) return made_ += to_text(value), "";
        if (value.kind == Kind::real && !std::isfinite(value.real))
          return made_ += number_text(value.real), "";
        return "error during formatting: decimal clause can only be used on integers" + given;
      case 'f':
      case 'e': {
        if (!value.is_number())
          return "error during formatting: " + std::string(kind == 'f' ? "fixed-point" : "scientific") +
                 " clause can only be used on doubles" + given;
        const double number = value.kind == Kind::real      ? value.real
                              : value.kind == Kind::integer ? static_cast<double>(value.integer)
                                                            : static_cast<double>(value.unsigned_integer);
        if (!std::isfinite(number)) return made_ += number_text(number), "";
        const char* const shape = kind == 'f' ? "%.*f" : "%.*e";
        std::string digits(static_cast<std::size_t>(std::snprintf(nullptr, 0, shape, precision, number)) + 1,
                           '\0');
        std::snprintf(digits.data(), digits.size(), shape, precision, number);
        digits.pop_back();
        made_ += digits;
        return "";
      }
      case 'b':
        if (value.kind == Kind::boolean) return made_ += value.boolean ? '1' : '0', "";
        if (!whole)
          return "error during formatting: only integers and bools can be formatted as binary" + given;
        return based(value, 2, false), "";
      case 'o':
        if (!whole) return "error during formatting: octal clause can only be used on integers" + given;
        return based(value, 8, false), "";
      case 'x':
      case 'X':
        if (value.kind == Kind::string || value.kind == Kind::bytes) {
          constexpr std::string_view kLower = "0123456789abcdef", kUpper = "0123456789ABCDEF";
          const auto digits = kind == 'x' ? kLower : kUpper;
          for (const unsigned char c : value.view()) made_ += digits[c >> 4], made_ += digits[c & 15];
          return "";
        }
        if (!whole)
          return "error during formatting: only integers, byte buffers, and strings can be formatted as hex" +
                 given;
        return based(value, 16, kind == 'X'), "";
      default:
        return "could not parse formatting clause: unrecognized formatting clause \"" + std::string(1, kind) +
               "\"";
    }
  }

  void based(const Value& value, unsigned base, bool upper) {
    const bool negative = value.kind == Kind::integer && value.integer < 0;
    auto left = negative ? std::uint64_t{0} - value.unsigned_integer : value.unsigned_integer;
    const std::string_view alphabet = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    std::string digits;
    do {
      digits += alphabet[left % base];
      left /= base;
    } while (left != 0);
    if (negative) digits += '-';
    made_.append(digits.rbegin(), digits.rend());
  }

  std::string text(const Value& value, int depth) {
    if (depth > kMaxDepth || !evaluation_.spend(1)) return "error during formatting: nested too deeply";
    switch (value.kind) {
      case Kind::list:
        made_ += '[';
        for (std::size_t i = 0; i < value.length(); ++i) {
          if (i > 0) made_ += ", ";
          if (auto problem = text(value.at(i), depth + 1); !problem.empty()) return problem;
        }
        made_ += ']';
        return "";
      case Kind::map: {
        std::vector<std::pair<std::string, std::size_t>> keys;
        for (std::size_t i = 0; i < value.length(); ++i) keys.emplace_back(to_text(value.entry(i).key), i);
        std::ranges::sort(keys);
        made_ += '{';
        for (std::size_t i = 0; i < keys.size(); ++i) {
          made_ += (i > 0 ? ", " : "") + keys[i].first + ": ";
          if (auto problem = text(value.entry(keys[i].second).value, depth + 1); !problem.empty())
            return problem;
        }
        made_ += '}';
        return "";
      }
      case Kind::real:
        made_ += number_text(value.real);
        return "";
      case Kind::optional:
        return "error during formatting: string clause can only be used on strings, bools, bytes, ints, "
               "doubles, "
               "maps, lists, types, durations, and timestamps, was given optional_type";
      default:
        made_ += to_text(value);
        return "";
    }
  }

  Evaluation& evaluation_;
  const Value& arguments_;
  std::size_t next_ = 0;
  std::string made_;
};

}  // namespace

Value format_text(Evaluation& evaluation, std::string_view pattern, const Value& arguments) {
  return Formatter(evaluation, arguments).run(pattern);
}

}  // namespace intra365::cel
