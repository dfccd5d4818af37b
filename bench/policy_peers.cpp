#include "bench/policy_peers.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "json/json.hpp"

namespace intra365::bench {
namespace {

namespace fs = std::filesystem;
const fs::path kPeers = fs::path(INTRA365_BINARY_DIR) / "peers";

/// Standard output of a command; the arguments are ours, no outside text among them.
std::optional<std::string> output_of(const std::string& command) {
  auto* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return std::nullopt;
  std::string text;
  char buffer[4096];
  for (std::size_t size; (size = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, size);
  if (::pclose(pipe) != 0) return std::nullopt;
  return text;
}

std::string shell_quoted(const fs::path& path) {
  return "'" + path.string() + "'";
}

std::string command_of(const std::string& name, const std::string& file) {
  const auto program = name == "cedar" ? kPeers / "cedar-peer" : kPeers / "go-peers";
  if (!fs::exists(program)) return {};
  return shell_quoted(program) + (name == "cedar" ? "" : " " + name) + " " + shell_quoted(file);
}

}  // namespace

void build_peers() {
  const auto script = fs::path(INTRA365_SOURCE_DIR) / "scripts/bench-peers";
  static_cast<void>(std::system((shell_quoted(script) + " " + shell_quoted(kPeers) + " >&2").c_str()));
}

WorkloadFile::WorkloadFile(const Workload& workload)
    : path_((fs::temp_directory_path() / ("intra365-policy-" + std::to_string(::getpid()) + ".json"))
                .string()) {
  std::ofstream(path_) << json::encode(workload);
}
WorkloadFile::~WorkloadFile() {
  std::error_code ignored;
  fs::remove(path_, ignored);
}

std::optional<PeerResult> run_peer(const std::string& name, const WorkloadFile& file, double seconds) {
  const auto command = command_of(name, file.path());
  if (command.empty()) return std::nullopt;
  const auto text = output_of(command + " " + std::to_string(seconds));
  auto result = text ? json::decode<PeerResult>(*text, json::Unknown::ignore)
                     : Result<PeerResult>(fail(errors::internal));
  if (!result) {
    std::fprintf(stderr, "%s failed and is left out\n", name.c_str());
    return std::nullopt;
  }
  return *result;
}

std::optional<std::string> cedar_answers(const WorkloadFile& file) {
  const auto command = command_of("cedar", file.path());
  if (command.empty()) return std::nullopt;
  auto text = output_of(command + " 0 --answers");
  if (text) text->erase(text->find_last_not_of('\n') + 1);
  return text;
}

}  // namespace intra365::bench
