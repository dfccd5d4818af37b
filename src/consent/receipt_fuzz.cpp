// Receipts come from anywhere. Whatever the file says: no crash, the same answer for the same document
// printed anew, and a document that holds is still found to hold with its members in another order.
#include <cstdint>
#include <cstdlib>

#include "consent/receipt.hpp"
#include "crypto/canonical_json.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace intra365;
  const auto document = json::parse({reinterpret_cast<const char*>(data), size});
  if (!document) return 0;
  const auto canonical = crypto::canonical_json(*document);
  const auto again = json::parse(canonical);
  if (!again || crypto::canonical_json(*again) != canonical) std::abort();
  const auto checked = consent::check_receipt(*document);
  if (checked.has_value() != consent::check_receipt(*again).has_value()) std::abort();
  if (checked && !consent::check_continues(*document, *again)) std::abort();
  return 0;
}
