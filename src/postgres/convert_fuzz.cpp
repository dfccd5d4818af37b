// Feeds arbitrary bytes to every reader of PostgreSQL's text forms.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "postgres/convert.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace intra365;
  using namespace intra365::postgres::detail;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Timestamp time;
  if (read_timestamp(text, time)) {
    Timestamp again;
    if (!read_timestamp(write_timestamp(time), again) || again != time) __builtin_trap();
  }
  std::vector<std::optional<std::string>> elements;
  if (read_array(text, elements)) {
    std::vector<std::optional<std::string>> again;
    if (!read_array(*write(elements), again) || again != elements) __builtin_trap();
  }
  std::string bytes;
  if (read_bytes(text, bytes) && write_bytes(bytes).size() != text.size()) __builtin_trap();
  double number;
  read_double(text, number);
  boost::json::value json;
  read_json(text, json);
  return 0;
}
