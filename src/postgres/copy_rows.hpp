// Rows on their way into a table by COPY … FROM STDIN, in its text form.
#pragma once
#include "postgres/query.hpp"

namespace intra365::postgres {

/// `rows.add(id, name, at)` takes what `bind` takes, in the order of the statement's columns.
class CopyRows {
 public:
  static constexpr std::size_t kMaxBytes = 64u << 20;  ///< of one piece

  template <class... Args>
  void add(const Args&... args) {
    add_row(postgres::bind(args...));
  }
  void add_row(const Parameters& row);
  std::size_t size() const { return size_; }
  std::size_t size_bytes() const { return text_.size(); }
  bool empty() const { return size_ == 0; }

 private:
  friend class Transaction;
  std::string text_;
  std::size_t size_ = 0;
};

}  // namespace intra365::postgres
