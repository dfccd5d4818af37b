#include "nats/key_value_mirror.hpp"

#include <algorithm>

#include "nats/key_value_wire.hpp"

namespace intra365::nats {

void BucketMirror::begin_load(std::uint64_t last_sequence, Load load) {
  ++load_;
  loading_ = true;
  load_floor_ = last_sequence;
  last_sequence_ = 0;
  if (load == Load::again) return;
  anew_ = true;
  ready_ = false;
  revision_ = 0;
}

void BucketMirror::apply(std::string_view key, const MessageView& message, std::uint64_t sequence) {
  last_sequence_ = sequence;
  if (key.empty()) return;
  auto found = entries_.find(key);
  if (wire::is_deletion(message.headers)) {
    if (found != entries_.end()) erase(found, sequence);
    return;
  }
  if (found == entries_.end()) {
    found = entries_.emplace(key, Slot{}).first;
    found->second.entry.key = key;
  } else if (loading_ && !anew_ && found->second.entry.revision == sequence) {
    found->second.load = load_;
    return;
  }
  auto& slot = found->second;
  slot.load = load_;
  slot.entry.value = message.payload;
  slot.entry.revision = sequence;
  tell(slot.entry);
}

void BucketMirror::complete() {
  if (!loading_) {
    revision_ = last_sequence_;
    return;
  }
  std::vector<std::string> gone;
  for (const auto& [key, slot] : entries_)
    if (slot.load != load_) gone.push_back(key);
  loading_ = anew_ = false;
  revision_ = last_sequence_ = std::max(last_sequence_, load_floor_);
  for (const auto& key : gone) {
    if (const auto at = entries_.find(key); at != entries_.end()) erase(at, revision_);
  }
  ready_ = true;
}

void BucketMirror::erase(Entries::iterator at, std::uint64_t sequence) {
  auto entry = std::move(at->second.entry);
  entries_.erase(at);
  entry.deleted = true;
  entry.value.clear();
  entry.revision = sequence;
  tell(entry);
}

}  // namespace intra365::nats
