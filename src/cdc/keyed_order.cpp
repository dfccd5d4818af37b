#include "cdc/keyed_order.hpp"

namespace intra365::cdc {

void KeyedOrder::add(std::uint64_t sequence, std::string key) {
  open_.insert(sequence);
  last_ = sequence;
  auto& queue = waiting_[key];
  queue.push_back(sequence);
  if (queue.size() == 1) ready_.emplace(sequence, std::move(key));
}

std::optional<KeyedOrder::Due> KeyedOrder::next() {
  if (ready_.empty()) return std::nullopt;
  auto first = ready_.extract(ready_.begin());
  return Due{first.key(), std::move(first.mapped())};
}

void KeyedOrder::done(const Due& due) {
  open_.erase(due.sequence);
  const auto found = waiting_.find(due.key);
  auto& queue = found->second;
  queue.pop_front();
  if (queue.empty())
    waiting_.erase(found);
  else
    ready_.emplace(queue.front(), due.key);
}

}  // namespace intra365::cdc
