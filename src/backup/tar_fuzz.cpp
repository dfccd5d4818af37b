// Whatever comes as an archive: read in pieces of several sizes, it gives the same entries or the same
// refusal, and never a name that leads out of the folder.
#include <cstdlib>

#include "backup/tar.hpp"

namespace {

struct Digest final : intra365::backup::TarSink {
  intra365::Result<void> begin(const intra365::backup::TarEntry& entry) override {
    if (entry.name.find("..") == 0 || entry.name.starts_with('/')) std::abort();
    text += "<" + entry.name + ":";
    return {};
  }
  intra365::Result<void> data(std::string_view bytes) override {
    text += bytes;
    return {};
  }
  intra365::Result<void> end() override {
    text += ">";
    return {};
  }
  std::string text;
};

std::string read(std::string_view archive, std::size_t piece) {
  Digest digest;
  intra365::backup::TarReader reader(digest);
  for (; !archive.empty(); archive.remove_prefix(std::min(piece, archive.size()))) {
    const auto fed = reader.feed(archive.substr(0, piece));
    if (!fed) return digest.text + fed.error().detail;
  }
  const auto finished = reader.finish();
  return digest.text + (finished ? "" : finished.error().detail);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view archive(reinterpret_cast<const char*>(data), size);
  if (read(archive, 7) != read(archive, 4096)) std::abort();
  return 0;
}
