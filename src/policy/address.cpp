// IP addresses and blocks of them.
#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "policy/condition.hpp"

namespace intra365::policy {
namespace {

constexpr int kMappedBits = 96;  ///< of ::ffff:0:0/96, below which IPv4 lies

}  // namespace

std::optional<std::array<std::uint8_t, 16>> parse_address(std::string_view text) {
  char buffer[INET6_ADDRSTRLEN + 1];
  if (text.empty() || text.size() >= sizeof buffer || text.find('\0') != std::string_view::npos)
    return std::nullopt;
  std::memcpy(buffer, text.data(), text.size());
  buffer[text.size()] = 0;
  std::array<std::uint8_t, 16> address{};
  if (text.find(':') != std::string_view::npos) {
    if (::inet_pton(AF_INET6, buffer, address.data()) != 1) return std::nullopt;
    return address;
  }
  if (::inet_pton(AF_INET, buffer, address.data() + 12) != 1) return std::nullopt;
  address[10] = address[11] = 0xff;
  return address;
}

Result<AddressBlock> AddressBlock::parse(std::string_view text, const Pointer& at) {
  const auto refuse = [&] {
    return at.refuse("an address block such as 10.0.0.0/8 or fd00::/8 is expected");
  };
  const auto slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (!address) return refuse();
  const bool is_v4 = text.substr(0, slash).find(':') == std::string_view::npos;
  AddressBlock block{*address, 128};
  if (slash != std::string_view::npos) {
    const auto digits = text.substr(slash + 1);
    int bits = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (error != std::errc{} || end != digits.data() + digits.size() || bits < 0 || bits > (is_v4 ? 32 : 128))
      return refuse();
    block.prefix = is_v4 ? kMappedBits + bits : bits;
  }
  for (int bit = block.prefix; bit < 128; ++bit) {
    if (block.address[std::size_t(bit / 8)] & (0x80 >> (bit % 8)))
      return at.refuse("the address block has bits set behind its prefix");
  }
  return block;
}

bool AddressBlock::contains(const std::array<std::uint8_t, 16>& other) const {
  const auto whole = std::size_t(prefix / 8);
  if (std::memcmp(address.data(), other.data(), whole) != 0) return false;
  const int rest = prefix % 8;
  return rest == 0 || ((address[whole] ^ other[whole]) >> (8 - rest)) == 0;
}

}  // namespace intra365::policy
