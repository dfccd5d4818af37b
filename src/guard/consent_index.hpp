// The consents of one tenant in memory, made for millions: about 150 bytes each, and an answer in a few
// hundred nanoseconds without an allocation. Answers are those of decide_consent (a test compares them).
//
//   user + Mate --hash--> slot (16 B) --> record (64 B: ids, sets, end, epoch) --> next record of the pair
//                            |-> user's name, once                |-> sets of scopes and purposes, once each
//
// Consents of groups are records like others, under the name of the group. Who belongs to a household is kept
// once for it, so nothing is copied to its members.
#pragma once
#include <array>
#include <unordered_map>
#include <vector>

#include "guard/consent_decision.hpp"
#include "guard/name_sets.hpp"
#include "guard/precedence.hpp"

namespace intra365::guard {

/// Owned by one shard; not thread-safe. Expiry is decided by the time of the question.
class ConsentIndex {
 public:
  ConsentIndex();

  struct Answer {
    consent::DecisionCode code = consent::DecisionCode::none;
    std::uint32_t record = kNothing;  ///< the record that decided, for `consent_id`; until the next change
    std::uint64_t epoch = 0;  ///< the newest epoch of the user that their own records for this Mate have seen
    std::optional<consent::InheritedFrom> inherited_from;  ///< whose consent decided; absent: their own
    bool allowed() const { return code == consent::DecisionCode::granted; }
  };

  /// Adds or replaces a record, unless what is there is newer (by epoch). `now` is when we learned it. A
  /// household's record says who belongs to it; the newest of any of its records counts for all of them.
  void apply(const consent::Consent& record, Timestamp now);
  void clear();
  Answer decide(std::string_view user, std::string_view mate, std::span<const Scope> scopes,
                std::string_view purpose, Timestamp now) const;
  /// What this one record says; `none` when it is not of this user and Mate, nor of a group of the user. A
  /// group's says nothing where a level before it says no: that level's answer is given then.
  Answer decide_by(std::string_view consent, std::string_view user, std::string_view mate,
                   std::span<const Scope> scopes, std::string_view purpose, Timestamp now) const;
  ConsentId consent_id(std::uint32_t record) const;
  /// When a record that holds expires; the latest time there is for never.
  Timestamp ends(std::uint32_t record) const { return at(record).ends; }
  std::size_t size() const { return size_; }
  /// Room for so many records without growing on the way.
  void reserve(std::size_t count);
  /// Forgets records that expired, or that we learned to be over, before `before`; their absence reads as
  /// `none`. What is over is kept by when we learned it, not since when it is: an older copy of it may still
  /// be under way.
  void prune(Timestamp before);
  /// The same, but every no stays: with consents of groups here, the absence of a no would be a yes.
  void prune_replaced(Timestamp before);
  /// What all this takes.
  std::size_t size_bytes() const;

 private:
  /// A UUID as its 16 bytes; another name by its place among `odd_ids_`, marked by a version no UUID has.
  struct Id {
    std::uint64_t high = 0, low = 0;
    bool operator==(const Id&) const = default;
  };
  /// A line of the processor's cache.
  struct alignas(64) Record {
    Id id;
    std::uint64_t epoch = 0;
    Timestamp ends{};  ///< expiry (the latest time there is for never), or when we learned that it is over
    std::uint32_t user = 0, mate = 0, scopes = 0, purposes = 0;
    std::uint32_t next = kNothing;  ///< of the same user and Mate; of the free list
    consent::Status status = consent::Status::revoked;
    bool used = false;
  };
  static_assert(sizeof(Record) == 64);

  Record& at(std::uint32_t number) { return records_[number]; }
  const Record& at(std::uint32_t number) const { return records_[number]; }
  std::uint64_t pair_hash(std::string_view user, std::string_view mate) const;
  std::uint64_t id_hash(const Id& id) const;
  bool read_id(std::string_view text, Id& id) const;
  std::uint32_t find_pair(std::uint64_t hash, std::string_view user, std::string_view mate) const;
  std::uint32_t take();
  void link(std::uint32_t number);
  void forget(std::uint32_t number);
  void fill(Record& record, const consent::Consent& from, Timestamp now);
  /// A question's names, looked up once for all records. Those that do not fit are looked up for each.
  struct Question {
    Question(const ConsentIndex& index, std::span<const Scope> scopes, std::string_view purpose);
    std::span<const Scope> scopes;
    std::string_view purpose;
    std::uint32_t* end = nullptr;
    std::uint32_t numbers[64];
  };
  consent::DecisionCode code_of(const Record& record, const Question& question, Timestamp now) const;
  bool touches(const Record& record, const Question& question) const;
  Answer decide_among(std::uint32_t first, const Question& question, Timestamp now) const;
  Answer decide_beyond(const Answer& own, std::uint32_t first_own, std::string_view user,
                       std::string_view mate, const Question& question, Timestamp now) const;
  Said<Answer> say(std::uint32_t first, const Question& question, Timestamp now) const;
  Said<Answer> say_of(consent::InheritedFrom level, std::string_view user, std::string_view mate,
                      const Question& question, Timestamp now) const;
  std::span<const std::uint32_t> households_of(std::string_view user) const;
  void note_group(const consent::Consent& from, std::uint32_t subject);
  void set_members(std::uint32_t subject, std::vector<std::uint32_t> members);
  template <class Forget>
  void prune_where(Forget&& forgets);
  void rebuild();

  std::uint64_t seed_;
  TextPool users_, mates_, odd_ids_;
  NameSets scopes_, purposes_;
  BigArray<Record> records_;
  std::uint32_t free_ = kNothing;
  std::size_t size_ = 0, forgotten_ = 0;
  /// The names of a pair stand beside its first record's number, so that the processor fetches names and
  /// record at once and not one after the other.
  struct Pair {
    std::uint32_t number, user, mate;
  };
  SlotTable<Pair> by_pair_;
  Slots by_id_;
  /// By places in `users_`, as all below.
  struct Household {
    std::uint64_t epoch = 0;
    std::vector<std::uint32_t> members;
  };
  std::unordered_map<std::uint32_t, Household> households_;
  std::unordered_map<std::uint32_t, std::vector<std::uint32_t>> households_of_;
  std::uint32_t organisation_ = kNothing;
  bool has_groups_ = false;
};

}  // namespace intra365::guard
