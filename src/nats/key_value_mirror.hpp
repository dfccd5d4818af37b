// The memory of a WatchedBucket: what the messages of a bucket amount to. No I/O. Internal to this folder.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nats/key_value.hpp"

namespace intra365::nats {

/// Messages come in the order of the stream, either all last values of a bucket (a load, from `begin_load` to
/// `complete`) or what changed since. A load replaces what is there without a moment of emptiness: entries
/// that it has not brought are swept when it is complete.
class BucketMirror {
 public:
  enum class Load : std::uint8_t {
    again,  ///< of the same stream: entries with the same revision have not changed
    anew,   ///< of another stream: revisions mean nothing, and nothing is known until it is complete
  };

  explicit BucketMirror(WatchedBucket::OnChange on_change) : on_change_(std::move(on_change)) {}

  /// `last_sequence` is what the stream had reached before the load began.
  void begin_load(std::uint64_t last_sequence, Load load);
  /// An empty key only counts the sequence.
  void apply(std::string_view key, const MessageView& message, std::uint64_t sequence);
  /// Nothing is pending: only now the mirror is what the bucket was at one moment. Before, a key may be
  /// missing or old, because a new value on its way has already removed the one that would have come first.
  void complete();
  /// From now on nobody is told of changes any more.
  void mute() { muted_ = true; }

  const Entry* find(std::string_view key) const {
    const auto found = entries_.find(key);
    return found == entries_.end() ? nullptr : &found->second.entry;
  }
  std::size_t size() const { return entries_.size(); }
  /// The mirror is the bucket as it was at this revision.
  std::uint64_t revision() const { return revision_; }
  /// Of the last message applied: ahead of `revision` while more are pending.
  std::uint64_t last_sequence() const { return last_sequence_; }
  bool ready() const { return ready_; }
  bool loading() const { return loading_; }

 private:
  struct Slot {
    Entry entry;
    std::uint64_t load = 0;  ///< which load has brought it
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  using Entries = std::unordered_map<std::string, Slot, Hash, std::equal_to<>>;

  void erase(Entries::iterator at, std::uint64_t sequence);
  void tell(const Entry& entry) {
    if (on_change_ && !muted_) on_change_(entry);
  }

  WatchedBucket::OnChange on_change_;
  Entries entries_;
  std::uint64_t revision_ = 0, last_sequence_ = 0;
  std::uint64_t load_ = 0, load_floor_ = 0;
  bool ready_ = false, loading_ = true, anew_ = true, muted_ = false;
};

}  // namespace intra365::nats
