// Does a person's consent cover this use, now? The decision is a pure function over records; the index keeps
// the records that an enforcement point needs in memory, millions of them if need be.
#pragma once
#include <memory>
#include <span>
#include <vector>

#include "base/time.hpp"
#include "contract/errors.hpp"
#include "contract/operations/consent.hpp"
#include "guard/consent_sets.hpp"

namespace intra365::guard {

struct ConsentDecision {
  consent::DecisionCode code = consent::DecisionCode::none;
  const consent::Consent* consent = nullptr;  ///< the record that decided; none for `none`
  bool allowed() const { return code == consent::DecisionCode::granted; }
};

/// `granted` when one record holds now and covers the purpose and every scope. Otherwise the reason of the
/// record that came nearest: purpose_mismatch and scope_missing before expired, before revoked, before none.
/// A scope covers those below it: `profile` covers `profile.read`.
ConsentDecision decide_consent(std::span<const consent::Consent* const> records,
                               std::span<const Scope> scopes, const Purpose& purpose, Timestamp now);

/// True when a consent for `granted` covers a use of `needed`.
bool covers_scope(const Scope& granted, const Scope& needed);

/// The error a caller sees for a decision that is not `granted`.
const ErrorCode& error_of(consent::DecisionCode code);

/// What consents allow, by user and Mate. One consent takes less than 200 bytes, and a decision does not
/// allocate. Owned by one shard; not thread-safe.
class ConsentIndex {
 public:
  /// Adds or replaces a record, unless what is there is newer (by epoch).
  void apply(const consent::Consent& record);
  void clear() { *this = ConsentIndex(); }

  struct Answer {
    consent::DecisionCode code = consent::DecisionCode::none;
    std::uint32_t record = kNone;  ///< the record that decided; none for `none`
    bool allowed() const { return code == consent::DecisionCode::granted; }
  };
  /// As decide_consent over the records of this user and Mate.
  Answer decide(const UserId& user, const MateId& mate, std::span<const Scope> scopes, const Purpose& purpose,
                Timestamp now) const;
  /// The same, over one record, which must be this user's for this Mate: else `none`.
  Answer decide(const ConsentId& id, const UserId& user, const MateId& mate, std::span<const Scope> scopes,
                const Purpose& purpose, Timestamp now) const;
  /// Of a record that an answer names, before the next change.
  ConsentId id(std::uint32_t record) const;

  /// The highest epoch of this user that the records for this Mate have seen; 0 where there are none.
  std::uint64_t epoch(const UserId& user, const MateId& mate) const;
  std::size_t size() const { return size_; }
  std::size_t bytes() const;

  /// Forgets records that stopped holding before `before`, looking at `at_most` records from where it last
  /// stopped. Their absence reads as `none`.
  void prune(Timestamp before, std::size_t at_most = 4096);

  static constexpr std::uint32_t kNone = 0xffffffff;

 private:
  /// 64 bytes. An id that is no UUID stands in `odd_ids_`, at `id_low`.
  struct Record {
    std::uint64_t id_high = 0, id_low = 0;
    std::int64_t expires_at = 0;  ///< microseconds since 1970, the last moment where it never does
    std::int64_t revoked_at = 0;  ///< the same
    std::uint64_t epoch = 0;
    TextTable::Reference user = TextTable::kNone, mate = TextTable::kNone;  ///< no user: the place is free
    ConsentSets::Number set = 0;
    std::uint32_t next = kNone;  ///< of the same user and Mate, or the next free one
    bool granted = false, odd_id = false;
  };
  /// Open addressing over record numbers; `kGone` where one was taken out.
  struct Slots {
    std::vector<std::uint32_t> numbers;
    std::size_t used = 0;
  };
  static constexpr std::uint32_t kGone = 0xfffffffe;
  static constexpr std::size_t kChunk = 4096;

  Record& at(std::uint32_t number) { return chunks_[number / kChunk][number % kChunk]; }
  const Record& at(std::uint32_t number) const { return chunks_[number / kChunk][number % kChunk]; }
  /// The first record of a user for a Mate; the others follow by `next`.
  std::uint32_t first_of(std::string_view user, std::string_view mate) const;
  std::uint32_t find(const ConsentId& id) const;
  void write_id(Record& record, const ConsentId& id);
  bool same_id(const Record& a, const Record& b) const;
  consent::DecisionCode decide_one(const Record& record, const NeededUse& use, std::int64_t now) const;

  std::uint64_t pair_hash(const Record& record) const;
  std::uint64_t id_hash(const Record& record) const;
  void add(std::uint32_t number);
  void remove(std::uint32_t number);
  std::uint32_t free_place();
  template <class Hash>
  static void make_room(Slots& slots, Hash hash);
  /// The slot of the record for which `is_it` holds, or where it would go.
  template <class IsIt>
  static std::size_t slot_of(const Slots& slots, std::uint64_t hash, IsIt is_it);

  TextTable users_, mates_;
  ConsentSets sets_;
  std::vector<std::unique_ptr<Record[]>> chunks_;
  std::uint32_t end_ = 0, free_ = kNone, cursor_ = 0;
  std::size_t size_ = 0;
  Slots by_pair_, by_id_;
  std::vector<std::string> odd_ids_;
};

}  // namespace intra365::guard
