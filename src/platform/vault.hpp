// Seals values of columns that hold personal data or secrets and are no keys. Each tenant has data keys of
// its own, which lie in `tenant_keys` under the key-encryption key.
#pragma once
#include <map>
#include <unordered_map>

#include "crypto/envelope.hpp"
#include "postgres/pool.hpp"

namespace intra365::platform {

/// A column whose values are sealed; the same stand in the table `sealed_columns`.
struct SealedColumn {
  std::string_view table, column;
  std::string_view key;  ///< the column that names the row
  bool is_json = false;  ///< jsonb: a sealed value is a JSON string
};

namespace sealed {
inline constexpr SealedColumn user_name{"users", "display_name", "user_id"};
inline constexpr SealedColumn key_name{"api_keys", "name", "key_id"};
inline constexpr SealedColumn consent_metadata{"consent_records", "metadata", "consent_id", true};
inline constexpr SealedColumn consent_evidence{"consent_history", "evidence", "consent_id"};
inline constexpr SealedColumn request_text{"privacy_requests", "text", "request_id"};
inline constexpr SealedColumn request_resolution{"privacy_requests", "resolution", "request_id"};
inline constexpr const SealedColumn* all[] = {&user_name,        &key_name,     &consent_metadata,
                                              &consent_evidence, &request_text, &request_resolution};
}  // namespace sealed

/// What begins every sealed value; `<number of the key>:<base64url>` follows.
inline constexpr std::string_view sealed_prefix = "sealed:";

/// Owned by one shard; not thread-safe. A key that another instance made is used within a minute.
class Vault {
 public:
  /// Both references must outlive the vault.
  Vault(postgres::Pool& database, const crypto::Envelope& envelope)
      : database_(database), envelope_(envelope) {}

  /// One value at its place; `value` must outlive the call.
  struct Cell {
    Cell(const SealedColumn& column, std::string row, std::string& value)
        : column(&column), row(std::move(row)), value(&value) {}
    const SealedColumn* column;
    std::string row;
    std::string* value;
  };

  /// Replaces clear values by sealed ones.
  Task<> seal(TenantId tenant, std::vector<Cell> cells, SteadyTime deadline);
  /// Replaces sealed values by clear ones; values from before a column was sealed stay as they are. Fails
  /// with `envelope.broken` where a value was changed or comes from another row, column or tenant.
  Task<> open(TenantId tenant, std::vector<Cell> cells, SteadyTime deadline);
  /// The same for a column of type jsonb; null stays null.
  Task<> seal(TenantId tenant, const SealedColumn& column, std::string row, boost::json::value& value,
              SteadyTime deadline);
  Task<> open(TenantId tenant, const SealedColumn& column, std::string row, boost::json::value& value,
              SteadyTime deadline);
  /// A digest by which equal values of a column are found: HMAC-SHA-256 under a key of the tenant that never
  /// changes. Letters of ASCII count as small ones.
  Task<std::string> index(TenantId tenant, const SealedColumn& column, std::string value,
                          SteadyTime deadline);

  /// How values begin that are sealed with the tenant's newest key; reads it, and makes the first.
  Task<std::string> newest_prefix(TenantId tenant, SteadyTime deadline);
  /// Makes a new key and seals with it from now on; returns its number.
  Task<int> rotate(TenantId tenant, SteadyTime deadline);

 private:
  /// Keys of one tenant by their numbers.
  struct Keys {
    std::map<int, crypto::Envelope> seal;
    std::string index;
    SteadyTime read_at;
  };
  Task<std::shared_ptr<const Keys>> keys_of(TenantId tenant, SteadyTime not_before, SteadyTime deadline);
  Task<std::shared_ptr<const Keys>> read(TenantId tenant, SteadyTime deadline);
  Task<> make(TenantId tenant, std::string kind, int number, SteadyTime deadline);

  postgres::Pool& database_;
  const crypto::Envelope& envelope_;
  std::unordered_map<TenantId, std::shared_ptr<const Keys>> known_;
};

}  // namespace intra365::platform
