#include "cel/time_zone.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <vector>

namespace intra365::cel {
namespace {

/// The changes of one zone (RFC 8536): from each moment on, this far from UTC.
struct Zone {
  std::int64_t before = 0;  ///< offset before the first change
  std::vector<std::pair<std::int64_t, std::int64_t>> changes;
};

bool read_digits(std::string_view text, std::int64_t& number) {
  if (text.size() != 2 || text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9') return false;
  number = (text[0] - '0') * 10 + (text[1] - '0');
  return true;
}

bool fixed_offset(std::string_view text, std::int64_t& seconds) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  std::int64_t hours = 0, minutes = 0;
  if (text.size() != 5 || text[2] != ':' || !read_digits(text.substr(0, 2), hours) ||
      !read_digits(text.substr(3), minutes) || hours > 23 || minutes > 59)
    return false;
  seconds = (hours * 60 + minutes) * (negative ? -60 : 60);
  return true;
}

bool is_zone_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && name.front() != '/' &&
         name.find("..") == std::string_view::npos && std::ranges::all_of(name, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
                  c == '_' || c == '-' || c == '+';
         });
}

/// Reads big-endian numbers and refuses to run over the end.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  std::int64_t number(std::size_t size) {
    if (bytes_.size() < size) return ok_ = false, 0;
    std::uint64_t value = static_cast<signed char>(bytes_[0]) < 0 ? ~std::uint64_t{0} : 0;
    for (std::size_t i = 0; i < size; ++i) value = value << 8 | static_cast<unsigned char>(bytes_[i]);
    bytes_.remove_prefix(size);
    return static_cast<std::int64_t>(value);
  }
  void skip(std::size_t size) {
    ok_ = ok_ && bytes_.size() >= size;
    bytes_.remove_prefix(std::min(size, bytes_.size()));
  }
  bool ok() const { return ok_; }

 private:
  std::string_view bytes_;
  bool ok_ = true;
};

std::shared_ptr<const Zone> parse(std::string_view bytes) {
  if (!bytes.starts_with("TZif") || bytes.size() < 44 || bytes[4] < '2') return nullptr;
  Reader reader(bytes);
  std::size_t counts[6];  // isutc, isstd, leap, times, types, characters
  const auto header = [&] {
    reader.skip(20);
    for (auto& count : counts)
      count = static_cast<std::size_t>(std::clamp<std::int64_t>(reader.number(4), 0, 100'000));
  };
  header();  // the part with 32-bit times comes first and is skipped
  reader.skip(counts[3] * 5 + counts[4] * 6 + counts[5] + counts[2] * 8 + counts[1] + counts[0]);
  header();
  if (!reader.ok() || counts[4] == 0) return nullptr;
  auto zone = std::make_shared<Zone>();
  std::vector<std::int64_t> times(counts[3]), types(counts[3]), offsets(counts[4]);
  for (auto& time : times) time = reader.number(8);
  for (auto& type : types) type = reader.number(1) & 0xff;
  for (auto& offset : offsets) {
    offset = reader.number(4);
    reader.skip(2);
  }
  if (!reader.ok()) return nullptr;
  zone->before = offsets.front();
  for (std::size_t i = 0; i < times.size(); ++i) {
    if (static_cast<std::size_t>(types[i]) >= offsets.size()) return nullptr;
    zone->changes.emplace_back(times[i], offsets[static_cast<std::size_t>(types[i])]);
  }
  return zone;
}

std::shared_ptr<const Zone> zone_named(const std::string& name) {
  static std::mutex mutex;
  static std::map<std::string, std::shared_ptr<const Zone>> known;
  const std::lock_guard lock(mutex);
  if (const auto found = known.find(name); found != known.end()) return found->second;
  if (known.size() > 1000) known.clear();  // more names than there are zones: somebody is guessing
  std::ifstream file("/usr/share/zoneinfo/" + name, std::ios::binary);
  std::ostringstream content;
  if (file) content << file.rdbuf();
  return known[name] = parse(content.str());
}

}  // namespace

bool utc_offset(std::string_view zone, std::int64_t at, std::int64_t& seconds) {
  if (zone == "UTC" || zone == "Z" || zone == "GMT") return seconds = 0, true;
  if (fixed_offset(zone, seconds)) return true;
  if (!is_zone_name(zone)) return false;
  const auto found = zone_named(std::string(zone));
  if (!found) return false;
  const auto next =
      std::ranges::upper_bound(found->changes, at, {}, [](const auto& change) { return change.first; });
  seconds = next == found->changes.begin() ? found->before : std::prev(next)->second;
  return true;
}

}  // namespace intra365::cel
