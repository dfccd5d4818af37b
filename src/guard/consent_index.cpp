#include "guard/consent_index.hpp"

#include <algorithm>
#include <cstring>

#include "consent/groups.hpp"

namespace intra365::guard {
namespace {

using consent::DecisionCode;
using consent::Status;

constexpr std::size_t kMostForgotten = 1000;
constexpr std::uint64_t kOddVersion = 0xf000;  // UUIDs have versions 1 to 8 in these four bits
constexpr std::uint64_t kVersionBits = 0xf000;

std::uint64_t random_seed() {
  std::uint64_t seed;
  std::memcpy(&seed, random_bytes(sizeof seed).data(), sizeof seed);
  return seed;
}

int hex(char digit) {
  if (digit >= '0' && digit <= '9') return digit - '0';
  if (digit >= 'a' && digit <= 'f') return digit - 'a' + 10;
  return -1;  // capitals are another text, so another id
}

constexpr bool is_dash(std::size_t at) {
  return at == 8 || at == 13 || at == 18 || at == 23;
}

}  // namespace

ConsentIndex::ConsentIndex()
    : seed_(random_seed()), users_(seed_), mates_(seed_), odd_ids_(seed_), scopes_(seed_), purposes_(seed_) {}

void ConsentIndex::clear() {
  *this = ConsentIndex();
}

void ConsentIndex::reserve(std::size_t count) {
  by_pair_.reserve(count);
  by_id_.reserve(count);
}

std::uint64_t ConsentIndex::pair_hash(std::string_view user, std::string_view mate) const {
  return hash_text(user, hash_text(mate, seed_));
}

std::uint64_t ConsentIndex::id_hash(const Id& id) const {
  return hash_text(std::string_view(reinterpret_cast<const char*>(&id), sizeof id), seed_);
}

/// False for a name that is no UUID and was never seen.
bool ConsentIndex::read_id(std::string_view text, Id& id) const {
  bool is_uuid = text.size() == 36;
  std::uint64_t halves[2] = {0, 0};
  std::size_t digits = 0;
  for (std::size_t i = 0; is_uuid && i < text.size(); ++i) {
    if (is_dash(i)) {
      is_uuid = text[i] == '-';
      continue;
    }
    const auto value = hex(text[i]);
    is_uuid = value >= 0;
    auto& half = halves[digits++ / 16];
    half = half << 4 | static_cast<std::uint64_t>(value & 15);
  }
  if (is_uuid && (halves[0] & kVersionBits) != kOddVersion) {
    id = {halves[0], halves[1]};
    return true;
  }
  const auto number = odd_ids_.find(text);
  id = {kOddVersion, number};
  return number != kNothing;
}

ConsentId ConsentIndex::consent_id(std::uint32_t number) const {
  const auto& id = at(number).id;
  if ((id.high & kVersionBits) == kOddVersion)
    return ConsentId::trusted(std::string(odd_ids_.at(static_cast<std::uint32_t>(id.low))));
  std::string text(36, '-');
  std::size_t digits = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (is_dash(i)) continue;
    const auto half = digits < 16 ? id.high : id.low;
    text[i] = "0123456789abcdef"[half >> (60 - 4 * (digits % 16)) & 15];
    ++digits;
  }
  return ConsentId::trusted(std::move(text));
}

std::uint32_t ConsentIndex::find_pair(std::uint64_t hash, std::string_view user,
                                      std::string_view mate) const {
  return by_pair_.find(hash, [&](const Pair& pair) {
    __builtin_prefetch(&at(pair.number));
    return users_.at(pair.user) == user && mates_.at(pair.mate) == mate;
  });
}

std::uint32_t ConsentIndex::take() {
  ++size_;
  if (free_ != kNothing) {
    const auto number = free_;
    free_ = at(number).next;
    return number;
  }
  records_.push_back(Record());
  return static_cast<std::uint32_t>(records_.size() - 1);
}

void ConsentIndex::fill(Record& record, const consent::Consent& from, Timestamp now) {
  record.epoch = from.epoch;
  record.scopes = scopes_.add(from.scopes);
  record.purposes = purposes_.add(from.purposes);
  record.status = from.status;
  // Whatever contradicts itself allows nothing.
  if (from.status == Status::active && (!from.granted || from.revoked_at)) record.status = Status::revoked;
  const bool may_hold = record.status == Status::active || record.status == Status::suspended;
  record.ends = may_hold ? from.expires_at.value_or(Timestamp::max()) : now;
}

void ConsentIndex::link(std::uint32_t number) {
  auto& record = at(number);
  const auto user = users_.at(record.user), mate = mates_.at(record.mate);
  if (const auto first = find_pair(pair_hash(user, mate), user, mate); first != kNothing) {
    record.next = at(first).next;  // second in the row, so that the slot stays as it is
    at(first).next = number;
  } else {
    record.next = kNothing;
    by_pair_.add(pair_hash(user, mate), {number, record.user, record.mate});
  }
}

void ConsentIndex::apply(const consent::Consent& from, Timestamp now) {
  Id id;
  if (read_id(from.consent_id.str(), id)) {
    const auto known = by_id_.find(id_hash(id), [&](Numbered one) { return at(one.number).id == id; });
    if (known != kNothing) {  // user and Mate of a consent never change
      if (from.epoch < at(known).epoch) return;
      fill(at(known), from, now);
      note_group(from, at(known).user);
      return;
    }
  } else {
    id = {kOddVersion, odd_ids_.add(from.consent_id.str())};
  }
  const auto number = take();
  auto& record = at(number);
  record.id = id;
  record.user = users_.add(from.user_id.str());
  note_group(from, record.user);
  record.mate = mates_.add(from.mate_id.str());
  record.used = true;
  fill(record, from, now);
  link(number);
  by_id_.add(id_hash(id), {number});
}

ConsentIndex::Question::Question(const ConsentIndex& index, std::span<const Scope> scopes,
                                 std::string_view purpose)
    : scopes(scopes), purpose(purpose) {
  const auto* limit = std::end(numbers);
  end = index.purposes_.resolve(purpose, numbers, limit);
  for (const auto& scope : scopes) {
    if (end != nullptr) end = index.scopes_.resolve(scope.str(), end, limit);
  }
}

DecisionCode ConsentIndex::code_of(const Record& record, const Question& question, Timestamp now) const {
  if (record.status == Status::suspended) return DecisionCode::suspended;
  if (record.status == Status::refused) return DecisionCode::refused;
  if (record.status != Status::active) return DecisionCode::revoked;
  if (record.ends <= now) return DecisionCode::expired;
  if (question.end == nullptr) {
    if (!purposes_.covers(record.purposes, question.purpose)) return DecisionCode::purpose_mismatch;
    for (const auto& scope : question.scopes) {
      if (!scopes_.covers(record.scopes, scope.str())) return DecisionCode::scope_missing;
    }
    return DecisionCode::granted;
  }
  const std::uint32_t* at = question.numbers;
  if (!purposes_.covers(record.purposes, at)) return DecisionCode::purpose_mismatch;
  while (at != question.end) {
    if (!scopes_.covers(record.scopes, at)) return DecisionCode::scope_missing;
  }
  return DecisionCode::granted;
}

bool ConsentIndex::touches(const Record& record, const Question& question) const {
  if (record.status == Status::superseded) return false;
  if (question.end == nullptr)
    return purposes_.covers(record.purposes, question.purpose) &&
           std::ranges::any_of(question.scopes,
                               [&](const Scope& one) { return scopes_.covers(record.scopes, one.str()); });
  const std::uint32_t* at = question.numbers;
  if (!purposes_.covers(record.purposes, at)) return false;
  while (at != question.end) {
    if (scopes_.covers(record.scopes, at)) return true;
  }
  return false;
}

ConsentIndex::Answer ConsentIndex::decide_among(std::uint32_t first, const Question& question,
                                                Timestamp now) const {
  Answer best;
  for (auto number = first; number != kNothing; number = at(number).next) {
    const auto& record = at(number);
    best.epoch = std::max(best.epoch, record.epoch);
    if (best.allowed()) continue;
    const auto code = code_of(record, question, now);
    if (best.record != kNothing && nearness(code) <= nearness(best.code)) continue;
    best.code = code;
    best.record = number;
  }
  return best;
}

ConsentIndex::Answer ConsentIndex::decide(std::string_view user, std::string_view mate,
                                          std::span<const Scope> scopes, std::string_view purpose,
                                          Timestamp now) const {
  const auto hash = pair_hash(user, mate);
  by_pair_.prefetch(hash);
  const Question question(*this, scopes, purpose);
  const auto first = find_pair(hash, user, mate);
  const auto own = decide_among(first, question, now);
  if (!has_groups_ || own.allowed()) return own;
  return decide_beyond(own, first, user, mate, question, now);
}

/// Out of the common way: the person's own consents have not allowed it, and there are groups.
ConsentIndex::Answer ConsentIndex::decide_beyond(const Answer& own, std::uint32_t first_own,
                                                 std::string_view user, std::string_view mate,
                                                 const Question& question, Timestamp now) const {
  auto decided = decide_by_precedence([&](std::optional<consent::InheritedFrom> level) {
    return level ? say_of(*level, user, mate, question, now) : say(first_own, question, now);
  });
  decided.epoch = own.epoch;
  return decided;
}

Said<ConsentIndex::Answer> ConsentIndex::say(std::uint32_t first, const Question& question,
                                             Timestamp now) const {
  Said<Answer> said;
  said.answer = decide_among(first, question, now);
  for (auto number = first; number != kNothing && !said.touches; number = at(number).next)
    said.touches = touches(at(number), question);
  return said;
}

Said<ConsentIndex::Answer> ConsentIndex::say_of(consent::InheritedFrom level, std::string_view user,
                                                std::string_view mate, const Question& question,
                                                Timestamp now) const {
  const auto of_group = [&](std::uint32_t group) {
    const auto name = users_.at(group);
    return say(find_pair(pair_hash(name, mate), name, mate), question, now);
  };
  Said<Answer> said;
  if (level == consent::InheritedFrom::organisation) {
    if (organisation_ != kNothing) said = of_group(organisation_);
    return said;
  }
  // Of two, one has been left already: that news is still under way.
  for (const auto household : households_of(user)) {
    const auto one = of_group(household);
    said.touches = said.touches || one.touches;
    if (said.answer.record == kNothing || nearness(one.answer.code) > nearness(said.answer.code))
      said.answer = one.answer;
  }
  return said;
}

ConsentIndex::Answer ConsentIndex::decide_by(std::string_view consent, std::string_view user,
                                             std::string_view mate, std::span<const Scope> scopes,
                                             std::string_view purpose, Timestamp now) const {
  Id id;
  if (!read_id(consent, id)) return {};
  const auto number = by_id_.find(id_hash(id), [&](Numbered one) { return at(one.number).id == id; });
  if (number == kNothing) return {};
  const auto& record = at(number);
  if (mates_.at(record.mate) != mate) return {};
  const Question question(*this, scopes, purpose);
  if (users_.at(record.user) == user) return {code_of(record, question, now), number, record.epoch, {}};

  const auto group = consent::group_of(users_.at(record.user));
  const auto households = households_of(user);
  const bool is_ours = group == consent::InheritedFrom::organisation ||
                       (group && std::ranges::find(households, record.user) != households.end());
  if (!is_ours) return {};
  return decide_by_precedence([&](std::optional<consent::InheritedFrom> level) {
    Said<Answer> said;
    if (level == group) {
      said.answer = {code_of(record, question, now), number, record.epoch, {}};
      said.touches = true;  // it is the one that was asked about
      return said;
    }
    said = level ? say_of(*level, user, mate, question, now)
                 : say(find_pair(pair_hash(user, mate), user, mate), question, now);
    // Another's yes neither ends this one nor makes it hold.
    if (said.answer.allowed()) said = Said<Answer>();
    return said;
  });
}

std::span<const std::uint32_t> ConsentIndex::households_of(std::string_view user) const {
  if (households_of_.empty()) return {};
  const auto found = households_of_.find(users_.find(user));
  return found == households_of_.end() ? std::span<const std::uint32_t>() : std::span(found->second);
}

void ConsentIndex::note_group(const consent::Consent& from, std::uint32_t subject) {
  const auto group = consent::group_of(from.user_id.str());
  if (!group) return;
  has_groups_ = true;
  if (*group == consent::InheritedFrom::organisation) {
    organisation_ = subject;
    return;
  }
  auto& household = households_[subject];
  if (from.epoch < household.epoch) return;
  household.epoch = from.epoch;
  std::vector<std::uint32_t> members;
  // Who says nothing of members, or of too many, speaks for nobody.
  if (from.members && from.members->size() <= consent::kMaxHouseholdMembers) {
    for (const auto& member : *from.members) members.push_back(users_.add(member.str()));
  }
  set_members(subject, std::move(members));
}

void ConsentIndex::set_members(std::uint32_t subject, std::vector<std::uint32_t> members) {
  auto& household = households_[subject];
  for (const auto member : household.members) {
    const auto found = households_of_.find(member);
    std::erase(found->second, subject);
    if (found->second.empty()) households_of_.erase(found);
  }
  std::ranges::sort(members);
  members.erase(std::unique(members.begin(), members.end()), members.end());
  for (const auto member : members) households_of_[member].push_back(subject);
  household.members = std::move(members);
}

void ConsentIndex::forget(std::uint32_t number) {
  auto& record = at(number);
  const auto user = users_.at(record.user), mate = mates_.at(record.mate);
  const auto first = find_pair(pair_hash(user, mate), user, mate);
  if (first == number) {
    if (record.next == kNothing)
      by_pair_.remove(pair_hash(user, mate), number);
    else
      by_pair_.replace(pair_hash(user, mate), number, record.next);
  } else {
    auto before = first;
    while (at(before).next != number) before = at(before).next;
    at(before).next = record.next;
  }
  by_id_.remove(id_hash(record.id), number);
  record = Record();
  record.next = free_;
  free_ = number;
  --size_;
  ++forgotten_;
}

template <class Forget>
void ConsentIndex::prune_where(Forget&& forgets) {
  for (std::uint32_t number = 0; number < records_.size(); ++number) {
    const auto& record = at(number);
    if (record.used && forgets(record)) forget(number);
  }
  if (forgotten_ > size_ + kMostForgotten) rebuild();
}

void ConsentIndex::prune(Timestamp before) {
  prune_where([before](const Record& record) { return record.ends < before; });
}

void ConsentIndex::prune_replaced(Timestamp before) {
  prune_where(
      [before](const Record& record) { return record.ends < before && record.status == Status::superseded; });
}

/// Names are never taken out of their arenas, so a copy is made once most of them may be of no use.
void ConsentIndex::rebuild() {
  ConsentIndex fresh;
  fresh.reserve(size_);
  for (std::uint32_t number = 0; number < records_.size(); ++number) {
    const auto& record = at(number);
    if (!record.used) continue;
    const auto to = fresh.take();
    auto& copy = fresh.at(to);
    copy = record;
    copy.user = fresh.users_.add(users_.at(record.user));
    copy.mate = fresh.mates_.add(mates_.at(record.mate));
    if ((record.id.high & kVersionBits) == kOddVersion)
      copy.id.low = fresh.odd_ids_.add(odd_ids_.at(static_cast<std::uint32_t>(record.id.low)));
    copy.scopes = scopes_.copy_to(fresh.scopes_, record.scopes);
    copy.purposes = purposes_.copy_to(fresh.purposes_, record.purposes);
    fresh.link(to);
    fresh.by_id_.add(fresh.id_hash(copy.id), {to});
  }
  for (const auto& [subject, household] : households_) {
    const auto name = fresh.users_.add(users_.at(subject));
    std::vector<std::uint32_t> members;
    for (const auto member : household.members) members.push_back(fresh.users_.add(users_.at(member)));
    fresh.households_[name].epoch = household.epoch;
    fresh.set_members(name, std::move(members));
  }
  if (organisation_ != kNothing) fresh.organisation_ = fresh.users_.add(users_.at(organisation_));
  fresh.has_groups_ = has_groups_;
  *this = std::move(fresh);
}

std::size_t ConsentIndex::size_bytes() const {
  return records_.size_bytes() + users_.size_bytes() + mates_.size_bytes() + odd_ids_.size_bytes() +
         scopes_.size_bytes() + purposes_.size_bytes() + by_pair_.size_bytes() + by_id_.size_bytes();
}

}  // namespace intra365::guard
