#include "json/json.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <cctype>
#include <charconv>
#include <cmath>

namespace intra365::json {
namespace detail {
namespace {

constexpr std::size_t kMaxDepth = 32;

/// Builds the tree while the parser reads, and refuses what plain parsing lets through: a key that stands
/// twice in one object.
class Builder {
 public:
  static constexpr std::size_t max_object_size = 100'000, max_array_size = 100'000, max_key_size = 1u << 16,
                               max_string_size = 1u << 27;

  explicit Builder(bj::storage_ptr storage) : storage_(std::move(storage)) {}
  bj::value take() { return std::move(root_); }
  const std::string& duplicate() const { return duplicate_; }

  bool on_document_begin(bj::error_code&) { return true; }
  bool on_document_end(bj::error_code&) { return true; }
  bool on_object_begin(bj::error_code& ec) { return open(bj::object(storage_), ec); }
  bool on_object_end(std::size_t, bj::error_code&) { return close(); }
  bool on_array_begin(bj::error_code& ec) { return open(bj::array(storage_), ec); }
  bool on_array_end(std::size_t, bj::error_code&) { return close(); }
  bool on_key_part(bj::string_view part, std::size_t, bj::error_code&) { return collect(part); }
  bool on_key(bj::string_view part, std::size_t, bj::error_code& ec) {
    collect(part);
    keys_.push_back(std::move(text_));
    text_.clear();
    if (!open_.back()->get_object().contains(keys_.back())) return true;
    duplicate_ = keys_.back();
    ec = bj::error::syntax;
    return false;
  }
  bool on_string_part(bj::string_view part, std::size_t, bj::error_code&) { return collect(part); }
  bool on_string(bj::string_view part, std::size_t, bj::error_code&) {
    collect(part);
    add(bj::value(text_, storage_));
    text_.clear();
    return true;
  }
  bool on_number_part(bj::string_view part, bj::error_code&) {
    number_.append(part.data(), part.size());
    return true;
  }
  bool on_int64(std::int64_t value, bj::string_view, bj::error_code&) { return number_.clear(), put(value); }
  bool on_uint64(std::uint64_t value, bj::string_view, bj::error_code&) {
    return number_.clear(), put(value);
  }
  /// The parser's own value may be a neighbour of the nearest double; what is signed must read back the same.
  bool on_double(double value, bj::string_view rest, bj::error_code& ec) {
    number_.append(rest.data(), rest.size());
    double nearest = 0;
    const auto read = std::from_chars(number_.data(), number_.data() + number_.size(), nearest);
    number_.clear();
    if (read.ec == std::errc()) value = nearest;
    if (std::isfinite(value)) return put(value);
    ec = bj::error::not_number;
    return false;
  }
  bool on_bool(bool value, bj::error_code&) { return put(value); }
  bool on_null(bj::error_code&) { return put(nullptr); }
  bool on_comment_part(bj::string_view, bj::error_code&) { return true; }
  bool on_comment(bj::string_view, bj::error_code&) { return true; }

 private:
  bool collect(bj::string_view part) {
    text_.append(part.data(), part.size());
    return true;
  }
  template <class T>
  bool put(T value) {
    add(bj::value(value, storage_));
    return true;
  }
  bj::value* add(bj::value value) {
    if (open_.empty()) return &(root_ = std::move(value));
    if (auto* array = open_.back()->if_array()) return &array->emplace_back(std::move(value));
    auto key = std::move(keys_.back());
    keys_.pop_back();
    return &open_.back()->get_object().insert_or_assign(key, std::move(value)).first->value();
  }
  bool open(bj::value container, bj::error_code&) {
    open_.push_back(add(std::move(container)));
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }

  bj::storage_ptr storage_;
  bj::value root_ = bj::value(storage_);
  std::vector<bj::value*> open_;
  std::vector<std::string> keys_;
  std::string text_, number_, duplicate_;
};

}  // namespace

std::string Path::text() const {
  std::string out = parent == nullptr || (parent->parent == nullptr && parent->field.empty())
                        ? std::string()
                        : parent->text();
  if (field.empty()) return parent == nullptr ? out : out + "[" + std::to_string(index) + "]";
  if (!out.empty()) out += '.';
  return out.append(field);
}

Failure wrong_type(const Path& path, std::string_view expected) {
  return fail(errors::wrong_type, "'" + path.text() + "' must be " + std::string(expected));
}

Failure at(const Path& path, Error error) {
  error.detail = "'" + path.text() + "': " + error.detail;
  return fail(std::move(error));
}

void append_string(std::string& out, std::string_view text) {
  constexpr std::string_view hex = "0123456789abcdef";
  out.push_back('"');
  std::size_t plain = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text.substr(plain, i - plain));
    plain = i + 1;
    switch (c) {
      case '"':
        out.append("\\\"");
        break;
      case '\\':
        out.append("\\\\");
        break;
      case '\n':
        out.append("\\n");
        break;
      case '\r':
        out.append("\\r");
        break;
      case '\t':
        out.append("\\t");
        break;
      default:
        out.append("\\u00");
        out.push_back(hex[c >> 4]);
        out.push_back(hex[c & 15]);
    }
  }
  out.append(text.substr(plain));
  out.push_back('"');
}

void append_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out.append("null");  // JSON has no other word for it
    return;
  }
  char digits[40];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, value);
  out.append(digits, end);
}

Result<bj::value> parse_into(std::string_view text, bj::storage_ptr storage) {
  bj::parse_options options;
  options.max_depth = kMaxDepth;
  bj::basic_parser<Builder> parser(options, storage);
  bj::error_code ec;
  const auto consumed = parser.write_some(false, text.data(), text.size(), ec);
  if (!parser.handler().duplicate().empty())
    return fail(errors::duplicate_field, "'" + parser.handler().duplicate().substr(0, 64) + "' stands twice");
  if (ec == bj::error::too_deep) return fail(errors::too_deep);
  if (ec || consumed != text.size() || !parser.done()) return fail(errors::malformed_json);
  return parser.handler().take();
}

}  // namespace detail

Result<bj::value> parse(std::string_view text) {
  return detail::parse_into(text, {});
}

std::string camel_case(std::string_view snake_case) {
  std::string out;
  for (std::size_t i = 0; i < snake_case.size(); ++i) {
    if (snake_case[i] != '_')
      out.push_back(snake_case[i]);
    else if (i + 1 < snake_case.size() && !out.empty())
      out.push_back(static_cast<char>(std::toupper(static_cast<unsigned char>(snake_case[++i]))));
  }
  return out;
}

namespace {

void append_pretty(std::string& out, const bj::value& value, std::size_t indent) {
  const auto line = [&](std::size_t depth) { out.append("\n").append(depth * 2, ' '); };
  if (const auto* object = value.if_object(); object != nullptr && !object->empty()) {
    out.push_back('{');
    bool first = true;
    for (const auto& item : *object) {
      if (!first) out.push_back(',');
      first = false;
      line(indent + 1);
      detail::append_string(out, item.key());
      out.append(": ");
      append_pretty(out, item.value(), indent + 1);
    }
    line(indent);
    out.push_back('}');
  } else if (const auto* array = value.if_array(); array != nullptr && !array->empty()) {
    out.push_back('[');
    bool first = true;
    for (const auto& element : *array) {
      if (!first) out.push_back(',');
      first = false;
      line(indent + 1);
      append_pretty(out, element, indent + 1);
    }
    line(indent);
    out.push_back(']');
  } else {
    out.append(bj::serialize(value));
  }
}

}  // namespace

std::string pretty(const bj::value& value) {
  std::string out;
  append_pretty(out, value, 0);
  out.push_back('\n');
  return out;
}

}  // namespace intra365::json
