#include "nats/requests.hpp"

#include <algorithm>
#include <bit>

namespace intra365::nats {
namespace {

constexpr std::string_view kDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

constexpr auto kDigitValues = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  for (std::size_t i = 0; i < kDigits.size(); ++i)
    values[static_cast<unsigned char>(kDigits[i])] = static_cast<std::int8_t>(i);
  return values;
}();

}  // namespace

RequestTable::RequestTable(std::size_t limit, SteadyTime now)
    : limit_(std::min(limit, std::size_t{1} << kIndexBits)), epoch_(now) {
  heads_.fill(kNone);
}

std::optional<RequestTable::Token> RequestTable::add(std::string_view subject, SteadyTime deadline,
                                                     Done& done) {
  if (size_ >= limit_) return std::nullopt;
  if (free_.empty()) {
    slots_.emplace_back();
    free_.push_back(static_cast<std::uint32_t>(slots_.size() - 1));
  }
  const auto index = free_.back();
  free_.pop_back();
  ++size_;
  auto& slot = slots_[index];
  slot.done = std::move(done);
  slot.subject.assign(subject);
  slot.order = ++order_;
  slot.deadline = deadline;
  slot.waiting = true;
  if (deadline != SteadyTime::max()) link(index, std::max(tick_of(deadline), cursor_ + 1));
  return (slot.generation << kIndexBits) | index;
}

RequestTable::Done RequestTable::take(Token token) {
  const auto index = static_cast<std::uint32_t>(token & ((std::uint64_t{1} << kIndexBits) - 1));
  if (index >= slots_.size() || !slots_[index].waiting || slots_[index].generation != token >> kIndexBits)
    return {};
  return release(index);
}

RequestTable::Done RequestTable::take_by_subject(std::string_view subject) {
  auto oldest = kNone;
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    const auto& slot = slots_[index];
    if (slot.waiting && slot.subject == subject && (oldest == kNone || slot.order < slots_[oldest].order))
      oldest = index;
  }
  return oldest == kNone ? Done{} : release(oldest);
}

std::vector<RequestTable::Done> RequestTable::take_all() {
  std::vector<Done> all;
  all.reserve(size_);
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    if (slots_[index].waiting) all.push_back(release(index));
  }
  return all;
}

std::vector<RequestTable::Done> RequestTable::take_expired(SteadyTime now) {
  std::vector<Done> expired;
  if (now < epoch_) return expired;
  const auto now_tick =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now - epoch_).count());
  const auto last = std::min(now_tick, cursor_ + kBuckets);
  for (auto tick = cursor_ + 1; tick <= last; ++tick) {
    const auto bucket = tick % kBuckets;
    if (!occupied(bucket)) continue;
    for (auto index = heads_[bucket]; index != kNone;) {
      const auto next = slots_[index].next;
      if (slots_[index].deadline <= now) expired.push_back(release(index));
      index = next;
    }
  }
  cursor_ = std::max(cursor_, now_tick);
  return expired;
}

std::optional<SteadyTime> RequestTable::next_due() const {
  if (size_ == 0) return std::nullopt;
  // Word by word round the wheel, beginning behind the cursor; the first word is looked at twice, because
  // its lower half belongs to the end of the round.
  const auto start = (cursor_ + 1) % kBuckets;
  for (std::size_t step = 0; step <= occupied_.size(); ++step) {
    const auto word_index = (start / 64 + step) % occupied_.size();
    auto word = occupied_[word_index];
    if (step == 0) word &= ~std::uint64_t{0} << (start % 64);
    if (word == 0) continue;
    const auto bucket = word_index * 64 + static_cast<std::size_t>(std::countr_zero(word));
    return time_of(cursor_ + 1 + (bucket + kBuckets - start) % kBuckets);
  }
  return std::nullopt;
}

std::uint64_t RequestTable::tick_of(SteadyTime deadline) const {
  if (deadline <= epoch_) return 0;
  return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(deadline - epoch_).count());
}

RequestTable::Done RequestTable::release(std::uint32_t index) {
  auto& slot = slots_[index];
  if (slot.bucket != kNone) unlink(index);
  slot.waiting = false;
  slot.generation = (slot.generation + 1) & kGenerationMask;
  --size_;
  free_.push_back(index);
  Done done = std::move(slot.done);
  slot.done = nullptr;
  return done;
}

void RequestTable::link(std::uint32_t index, std::uint64_t tick) {
  const auto bucket = static_cast<std::uint32_t>(tick % kBuckets);
  auto& slot = slots_[index];
  slot.bucket = bucket;
  slot.previous = kNone;
  slot.next = heads_[bucket];
  if (slot.next != kNone) slots_[slot.next].previous = index;
  heads_[bucket] = index;
  occupied_[bucket / 64] |= std::uint64_t{1} << (bucket % 64);
}

void RequestTable::unlink(std::uint32_t index) {
  auto& slot = slots_[index];
  if (slot.next != kNone) slots_[slot.next].previous = slot.previous;
  if (slot.previous != kNone) {
    slots_[slot.previous].next = slot.next;
  } else {
    heads_[slot.bucket] = slot.next;
    if (slot.next == kNone) occupied_[slot.bucket / 64] &= ~(std::uint64_t{1} << (slot.bucket % 64));
  }
  slot.next = slot.previous = slot.bucket = kNone;
}

void RequestTable::write_token(Token token, char* out) {
  for (std::size_t i = kTokenChars; i-- > 0; token >>= 6) out[i] = kDigits[token & 63];
}

std::optional<RequestTable::Token> RequestTable::read_token(std::string_view text) {
  if (text.size() != kTokenChars) return std::nullopt;
  Token token = 0;
  for (const char c : text) {
    const auto value = kDigitValues[static_cast<unsigned char>(c)];
    if (value < 0) return std::nullopt;
    token = token << 6 | static_cast<Token>(value);
  }
  return token;
}

}  // namespace intra365::nats
