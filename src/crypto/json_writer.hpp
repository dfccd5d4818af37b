// Writes JSON text member by member, in the order of the calls: the hash and the signature of a NATS JWT are
// over the text, so its order and escapes are part of the format. Internal to this folder.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace intra365::crypto {

class JsonWriter {
 public:
  /// Which characters of a string are escaped beyond what JSON demands.
  enum class Escape {
    minimal,
    go_html,  ///< also < > & and U+2028, U+2029, as Go's encoder does by default
  };
  explicit JsonWriter(Escape escape = Escape::minimal) : escape_(escape) {}

  JsonWriter& key(std::string_view name);
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  /// Bytes that are not UTF-8 become U+FFFD, one for each byte.
  JsonWriter& value(std::string_view text);
  JsonWriter& value(std::int64_t number);
  JsonWriter& boolean(bool value);
  /// JSON text as it stands.
  JsonWriter& raw(std::string_view json);

  JsonWriter& member(std::string_view name, std::string_view text) { return key(name).value(text); }
  JsonWriter& member(std::string_view name, std::int64_t number) { return key(name).value(number); }
  /// Leaves the member out when the text is empty.
  JsonWriter& member_if_any(std::string_view name, std::string_view text) {
    return text.empty() ? *this : member(name, text);
  }
  /// Leaves the member out when the list is empty.
  JsonWriter& member_if_any(std::string_view name, const std::vector<std::string>& texts);

  const std::string& text() const { return text_; }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void separate();
  void quote(std::string_view text);

  Escape escape_;
  std::string text_;
};

}  // namespace intra365::crypto
