#include "guard/consent_index.hpp"

#include <algorithm>
#include <limits>

namespace intra365::guard {
namespace {

using consent::DecisionCode;

constexpr auto kNever = std::numeric_limits<std::int64_t>::max();

std::int64_t micros(const std::optional<Timestamp>& time) {
  return time ? time->time_since_epoch().count() : kNever;
}

std::uint64_t mixed(std::uint64_t a, std::uint64_t b) {
  auto hash = (a ^ (b << 32 | b >> 32)) * 0x9e3779b97f4a7c15;
  hash ^= hash >> 29;
  hash *= 0xbf58476d1ce4e5b9;
  return hash ^ hash >> 32;
}

int hex_digit(char c) {
  return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/// `01234567-89ab-…` in lower case, as the platform makes ids.
bool read_uuid(std::string_view text, std::uint64_t& high, std::uint64_t& low) {
  if (text.size() != 36) return false;
  std::size_t digits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i] != '-') return false;
      continue;
    }
    const int digit = hex_digit(text[i]);
    if (digit < 0) return false;
    auto& half = digits++ < 16 ? high : low;
    half = half << 4 | static_cast<std::uint64_t>(digit);
  }
  return true;
}

std::string uuid_text(std::uint64_t high, std::uint64_t low) {
  std::string text;
  for (int digit = 0; digit < 32; ++digit) {
    if (digit == 8 || digit == 12 || digit == 16 || digit == 20) text += '-';
    const auto half = digit < 16 ? high : low;
    text += "0123456789abcdef"[half >> (60 - 4 * (digit % 16)) & 15];
  }
  return text;
}

/// How near a record is to a grant; the highest of several decides.
int nearness(DecisionCode code) {
  switch (code) {
    case DecisionCode::granted:
      return 5;
    case DecisionCode::scope_missing:
      return 4;
    case DecisionCode::purpose_mismatch:
      return 3;
    case DecisionCode::expired:
      return 2;
    case DecisionCode::revoked:
      return 1;
    case DecisionCode::none:
      return 0;
  }
  return 0;
}

DecisionCode decide_one(const consent::Consent& record, std::span<const Scope> scopes, const Purpose& purpose,
                        Timestamp now) {
  if (!record.granted || record.revoked_at) return DecisionCode::revoked;
  if (record.expires_at && *record.expires_at <= now) return DecisionCode::expired;
  if (std::ranges::find(record.purposes, purpose) == record.purposes.end())
    return DecisionCode::purpose_mismatch;
  const bool covered = std::ranges::all_of(scopes, [&](const Scope& needed) {
    return std::ranges::any_of(record.scopes,
                               [&](const Scope& granted) { return covers_scope(granted, needed); });
  });
  return covered ? DecisionCode::granted : DecisionCode::scope_missing;
}

}  // namespace

bool covers_scope(const Scope& granted, const Scope& needed) {
  const std::string_view wide = granted.str(), narrow = needed.str();
  return narrow == wide ||
         (narrow.size() > wide.size() && narrow.starts_with(wide) && narrow[wide.size()] == '.');
}

ConsentDecision decide_consent(std::span<const consent::Consent* const> records,
                               std::span<const Scope> scopes, const Purpose& purpose, Timestamp now) {
  ConsentDecision best;
  for (const auto* record : records) {
    const auto code = decide_one(*record, scopes, purpose, now);
    if (nearness(code) > nearness(best.code)) best = {code, record};
    if (best.allowed()) break;
  }
  return best;
}

const ErrorCode& error_of(DecisionCode code) {
  switch (code) {
    case DecisionCode::expired:
      return errors::consent_expired;
    case DecisionCode::revoked:
      return errors::consent_revoked;
    case DecisionCode::scope_missing:
      return errors::consent_scope;
    case DecisionCode::purpose_mismatch:
      return errors::consent_purpose;
    default:
      return errors::consent_none;
  }
}

DecisionCode ConsentIndex::decide_one(const Record& record, const NeededUse& use, std::int64_t now) const {
  if (!record.granted || record.revoked_at != kNever) return DecisionCode::revoked;
  if (record.expires_at <= now) return DecisionCode::expired;
  if (!sets_.has_purpose(record.set, use)) return DecisionCode::purpose_mismatch;
  return sets_.covers_scopes(record.set, use) ? DecisionCode::granted : DecisionCode::scope_missing;
}

ConsentIndex::Answer ConsentIndex::decide(const UserId& user, const MateId& mate,
                                          std::span<const Scope> scopes, const Purpose& purpose,
                                          Timestamp now) const {
  Answer best;
  auto number = first_of(user.str(), mate.str());
  if (number == kNone) return best;
  NeededUse use;
  sets_.look_up(scopes, purpose, use);
  for (; number != kNone && !best.allowed(); number = at(number).next) {
    const auto code = decide_one(at(number), use, now.time_since_epoch().count());
    if (nearness(code) > nearness(best.code)) best = {code, number};
  }
  return best;
}

ConsentIndex::Answer ConsentIndex::decide(const ConsentId& id, const UserId& user, const MateId& mate,
                                          std::span<const Scope> scopes, const Purpose& purpose,
                                          Timestamp now) const {
  const auto number = find(id);
  if (number == kNone || users_.view(at(number).user) != user.str() ||
      mates_.view(at(number).mate) != mate.str())
    return {};
  NeededUse use;
  sets_.look_up(scopes, purpose, use);
  return {decide_one(at(number), use, now.time_since_epoch().count()), number};
}

ConsentId ConsentIndex::id(std::uint32_t number) const {
  const auto& record = at(number);
  return ConsentId::trusted(record.odd_id ? odd_ids_[record.id_low]
                                          : uuid_text(record.id_high, record.id_low));
}

std::uint64_t ConsentIndex::epoch(const UserId& user, const MateId& mate) const {
  std::uint64_t highest = 0;
  for (auto number = first_of(user.str(), mate.str()); number != kNone; number = at(number).next)
    highest = std::max(highest, at(number).epoch);
  return highest;
}

void ConsentIndex::apply(const consent::Consent& consent) {
  auto number = find(consent.consent_id);
  const bool is_new = number == kNone;
  if (!is_new && consent.epoch < at(number).epoch) return;
  if (is_new) number = free_place();
  auto& record = at(number);
  record.expires_at = micros(consent.expires_at);
  record.revoked_at = micros(consent.revoked_at);
  record.granted = consent.granted;
  record.epoch = consent.epoch;
  record.set = sets_.add(consent.purposes, consent.scopes);
  if (!is_new) return;  // user and Mate of a consent never change
  write_id(record, consent.consent_id);
  record.user = users_.add(consent.user_id.str());
  record.mate = mates_.add(consent.mate_id.str());
  add(number);
}

void ConsentIndex::prune(Timestamp before, std::size_t at_most) {
  const auto limit = before.time_since_epoch().count();
  at_most = std::min<std::size_t>(at_most, end_);
  for (std::size_t i = 0; i < at_most; ++i, ++cursor_) {
    if (cursor_ >= end_) cursor_ = 0;
    const auto& record = at(cursor_);
    if (record.user != TextTable::kNone && std::min(record.revoked_at, record.expires_at) < limit)
      remove(cursor_);
  }
}

std::size_t ConsentIndex::bytes() const {
  return chunks_.size() * kChunk * sizeof(Record) + users_.bytes() + mates_.bytes() +
         (by_pair_.numbers.size() + by_id_.numbers.size()) * sizeof(std::uint32_t);
}

// Records and the two ways to find them.

template <class IsIt>
std::size_t ConsentIndex::slot_of(const Slots& slots, std::uint64_t hash, IsIt is_it) {
  const auto mask = slots.numbers.size() - 1;
  auto slot = hash & mask;
  while (slots.numbers[slot] != kNone && (slots.numbers[slot] == kGone || !is_it(slots.numbers[slot])))
    slot = (slot + 1) & mask;
  return slot;
}

template <class Hash>
void ConsentIndex::make_room(Slots& slots, Hash hash) {
  if ((slots.used + 1) * 3 <= slots.numbers.size() * 2) return;
  const auto before = std::move(slots.numbers);
  const auto live = static_cast<std::size_t>(
      std::ranges::count_if(before, [](std::uint32_t number) { return number < kGone; }));
  std::size_t size = 16;
  while (size < live * 2 + 2) size *= 2;
  slots.numbers.assign(size, kNone);
  slots.used = live;
  for (const auto number : before) {
    if (number < kGone)
      slots.numbers[slot_of(slots, hash(number), [](std::uint32_t) { return false; })] = number;
  }
}

std::uint64_t ConsentIndex::pair_hash(const Record& record) const {
  return mixed(hash_of(users_.view(record.user)), record.mate);
}

std::uint64_t ConsentIndex::id_hash(const Record& record) const {
  return record.odd_id ? hash_of(odd_ids_[record.id_low]) : mixed(record.id_high, record.id_low);
}

bool ConsentIndex::same_id(const Record& a, const Record& b) const {
  if (a.odd_id != b.odd_id) return false;
  return a.odd_id ? odd_ids_[a.id_low] == odd_ids_[b.id_low] : a.id_high == b.id_high && a.id_low == b.id_low;
}

std::uint32_t ConsentIndex::first_of(std::string_view user, std::string_view mate) const {
  const auto known_mate = mates_.find(mate);
  if (by_pair_.numbers.empty() || known_mate == TextTable::kNone) return kNone;
  const auto slot = slot_of(by_pair_, mixed(hash_of(user), known_mate), [&](std::uint32_t number) {
    return at(number).mate == known_mate && users_.view(at(number).user) == user;
  });
  return by_pair_.numbers[slot];
}

std::uint32_t ConsentIndex::find(const ConsentId& id) const {
  if (by_id_.numbers.empty()) return kNone;
  Record wanted;
  const bool odd = !read_uuid(id.str(), wanted.id_high, wanted.id_low);
  const auto hash = odd ? hash_of(id.str()) : mixed(wanted.id_high, wanted.id_low);
  const auto slot = slot_of(by_id_, hash, [&](std::uint32_t number) {
    const auto& record = at(number);
    if (odd) return record.odd_id && odd_ids_[record.id_low] == id.str();
    return same_id(record, wanted);
  });
  return by_id_.numbers[slot];
}

void ConsentIndex::write_id(Record& record, const ConsentId& id) {
  record.id_high = record.id_low = 0;
  record.odd_id = !read_uuid(id.str(), record.id_high, record.id_low);
  if (!record.odd_id) return;
  record.id_low = odd_ids_.size();
  odd_ids_.push_back(id.str());
}

void ConsentIndex::add(std::uint32_t number) {
  auto& record = at(number);
  make_room(by_pair_, [this](std::uint32_t one) { return pair_hash(at(one)); });
  make_room(by_id_, [this](std::uint32_t one) { return id_hash(at(one)); });
  auto& first = by_pair_.numbers[slot_of(by_pair_, pair_hash(record), [&](std::uint32_t other) {
    return at(other).user == record.user && at(other).mate == record.mate;
  })];
  by_pair_.used += first == kNone ? 1 : 0;
  record.next = first;
  first = number;
  by_id_.numbers[slot_of(by_id_, id_hash(record), [](std::uint32_t) { return false; })] = number;
  ++by_id_.used;
  ++size_;
}

void ConsentIndex::remove(std::uint32_t number) {
  auto& record = at(number);
  auto* link = &by_pair_.numbers[slot_of(by_pair_, pair_hash(record), [&](std::uint32_t other) {
    return at(other).user == record.user && at(other).mate == record.mate;
  })];
  const bool is_only = *link == number && record.next == kNone;
  if (is_only) {
    *link = kGone;
  } else {
    while (*link != number) link = &at(*link).next;
    *link = record.next;
  }
  by_id_.numbers[slot_of(by_id_, id_hash(record), [&](std::uint32_t other) { return other == number; })] =
      kGone;
  record = Record();
  record.next = std::exchange(free_, number);
  --size_;
}

std::uint32_t ConsentIndex::free_place() {
  if (free_ != kNone) return std::exchange(free_, at(free_).next);
  if (end_ % kChunk == 0) chunks_.push_back(std::make_unique<Record[]>(kChunk));
  return end_++;
}

}  // namespace intra365::guard
