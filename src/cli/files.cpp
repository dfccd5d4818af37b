#include "cli/files.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <fstream>
#include <iostream>

#include "contract/errors.hpp"

namespace intra365::cli {
namespace {

constexpr std::size_t kMaxBytes = 64u << 20;

Result<std::string> read_all(std::istream& stream, const std::string& path) {
  std::string text(kMaxBytes + 1, '\0');
  stream.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(stream.gcount()));
  if (text.size() > kMaxBytes) return fail(errors::bad_value, path + ": larger than 64 MiB");
  return text;
}

}  // namespace

Result<std::string> read_input(const std::string& path) {
  if (path == "-") return read_all(std::cin, "standard input");
  std::ifstream file(path, std::ios::binary);
  if (!file) return fail(errors::bad_value, "cannot read " + path);
  return read_all(file, path);
}

Result<boost::json::value> read_json(const std::string& path) {
  TRY(const auto text, read_input(path));
  boost::system::error_code broken;
  auto value = boost::json::parse(text, broken);
  if (broken) return fail(errors::bad_value, path + ": not JSON");
  return value;
}

Result<void> write_private(const std::string& path, const std::string& text) {
  const auto beside = path + ".part";
  ::unlink(beside.c_str());
  const int file = ::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file < 0) return fail(errors::bad_value, "cannot write " + path);
  std::size_t done = 0;
  while (done < text.size()) {
    const auto wrote = ::write(file, text.data() + done, text.size() - done);
    if (wrote <= 0) break;
    done += static_cast<std::size_t>(wrote);
  }
  const bool stored = done == text.size() && ::fsync(file) == 0;
  ::close(file);
  if (!stored || ::rename(beside.c_str(), path.c_str()) != 0)
    return fail(errors::bad_value, "cannot write " + path);
  return {};
}

}  // namespace intra365::cli
