// Does a person's consent cover this use, now? The decision is a pure function over records; the index keeps
// the records an enforcement point needs in memory.
#pragma once
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/time.hpp"
#include "contract/errors.hpp"
#include "contract/operations/consent.hpp"

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

/// Records by user and Mate. Owned by one shard; not thread-safe.
class ConsentIndex {
 public:
  /// Adds or replaces a record, unless what is there is newer (by epoch).
  void apply(consent::Consent record);
  void clear();
  /// Records of a user for a Mate, in no particular order.
  std::vector<const consent::Consent*> find(const UserId& user, const MateId& mate) const;
  ConsentDecision decide(const UserId& user, const MateId& mate, std::span<const Scope> scopes,
                         const Purpose& purpose, Timestamp now) const;
  const consent::Consent* find(const ConsentId& id) const;
  std::size_t size() const { return by_id_.size(); }
  /// Forgets records that stopped holding before `before`; their absence reads as `none`.
  void prune(Timestamp before);

 private:
  struct Key {
    std::string user, mate;
    bool operator==(const Key&) const = default;
  };
  struct KeyView {
    std::string_view user, mate;
  };
  struct KeyHash {
    using is_transparent = void;
    std::size_t operator()(const KeyView& key) const {
      return std::hash<std::string_view>{}(key.user) * 31 + std::hash<std::string_view>{}(key.mate);
    }
    std::size_t operator()(const Key& key) const { return (*this)(KeyView{key.user, key.mate}); }
  };
  struct KeyEqual {
    using is_transparent = void;
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return std::string_view(a.user) == b.user && std::string_view(a.mate) == b.mate;
    }
  };
  std::unordered_map<Key, std::vector<const consent::Consent*>, KeyHash, KeyEqual> by_pair_;
  std::unordered_map<ConsentId, std::unique_ptr<consent::Consent>> by_id_;
};

}  // namespace intra365::guard
