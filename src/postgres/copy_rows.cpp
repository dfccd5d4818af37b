#include "postgres/copy_rows.hpp"

namespace intra365::postgres {

void CopyRows::add_row(const Parameters& row) {
  bool first = true;
  for (const auto& value : row.values()) {
    if (!std::exchange(first, false)) text_ += '\t';
    if (!value) {
      text_ += "\\N";
      continue;
    }
    for (const char c : *value) {
      switch (c) {
        case '\\':
          text_ += "\\\\";
          break;
        case '\t':
          text_ += "\\t";
          break;
        case '\n':
          text_ += "\\n";
          break;
        case '\r':
          text_ += "\\r";
          break;
        default:
          text_ += c;
      }
    }
  }
  text_ += '\n';
  ++size_;
}

}  // namespace intra365::postgres
