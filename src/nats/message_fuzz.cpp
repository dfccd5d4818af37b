// Header blocks of other clients, and headers of ours: nothing read lies outside the block, and what we write
// we read back as it was.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "nats/message.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace intra365::nats;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto inside = [&](std::string_view part) {
    if (!part.empty() && (part.data() < text.data() || part.data() + part.size() > text.data() + text.size()))
      std::abort();
  };
  const HeaderView view(text);
  (void)view.status();
  inside(view.status_text());
  for (const auto& [name, value] : view.all()) {
    inside(name);
    inside(value);
    if (!view.contains(name) || view.get_all(name).empty() || view.get(name) != view.get_all(name).front())
      std::abort();
  }
  const auto colon = std::min(text.find(':'), size);
  const auto name = text.substr(0, colon), value = text.substr(std::min(colon + 1, size));
  HeaderBlock block;
  if (!block.add("First", "1") || !block.add(name, value)) return 0;
  const HeaderView written(block.text());
  const auto all = written.all();
  if (all.size() != 2 || all[1].first != name) std::abort();
  // Blanks around a value mean nothing; everything else is kept.
  const auto first = value.find_first_not_of(" \t"), last = value.find_last_not_of(" \t");
  const auto trimmed = first == std::string_view::npos ? "" : value.substr(first, last - first + 1);
  if (all[1].second != trimmed) std::abort();
  return 0;
}
