// Who may include whom: ARCHITECTURE.md's map, kept by reading every include in the tree.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace intra365 {
namespace {

namespace fs = std::filesystem;
using Folders = std::set<std::string>;

const Folders kPlatform{"base",  "async",   "crypto",   "json", "nats",   "postgres", "http",     "contract",
                        "guard", "replica", "platform", "cdc",  "policy", "consent",  "streaming"};
const Folders kSdk{"base",  "async",   "crypto",  "json",   "nats",    "http",     "contract",
                   "guard", "replica", "sdk/cpp", "policy", "consent", "streaming"};

Folders with(Folders folders, const char* more) {
  folders.insert(more);
  return folders;
}
const Folders kCli = with(kSdk, "cel");

/// What each folder may include beside itself; `app` sees everything.
const std::map<std::string, Folders> kRules{
    {"base", {}},
    {"async", {"base"}},
    {"crypto", {"base"}},
    {"json", {"base"}},
    {"nats", {"base", "async", "crypto", "json"}},
    {"postgres", {"base", "async"}},
    {"http", {"base", "async"}},
    {"cel", {"base"}},
    {"cdc", {"base", "async", "json", "nats", "postgres"}},
    {"contract", {"base", "json"}},
    {"policy", {"base", "json", "cel", "contract"}},
    {"consent", {"base", "crypto", "json", "contract"}},
    {"guard", {"base", "crypto", "json", "contract", "consent"}},
    {"replica", {"base", "async", "crypto", "json", "nats", "contract", "guard"}},
    {"streaming", {"base", "async", "json", "nats", "contract"}},
    {"platform", kPlatform},
    {"services", kPlatform},
    {"backup", {"base", "async", "crypto", "json", "postgres", "embedded"}},
    {"embedded", {"base", "async", "crypto", "json", "nats", "postgres", "http", "contract", "platform"}},
    {"sdk/cpp", kSdk},
    {"cli", kCli},
    {"mates", kSdk},
};

/// Headers of a library that only one folder may know.
const std::map<std::string, std::string> kWrapped{{"boost/beast", "http"}, {"libpq-fe.h", "postgres"},
                                                  {"sodium.h", "crypto"},  {"openssl/evp.h", "crypto"},
                                                  {"spdlog/", "platform"}, {"CLI/", "cli"},
                                                  {"re2/", "cel"}};

/// `src/services/audit/store.cpp` -> `services/audit`, `src/nats/x.hpp` -> `nats`, `sdk/cpp/x.hpp` ->
/// `sdk/cpp`.
std::string folder_of(std::string path) {
  if (path.starts_with("src/")) path.erase(0, 4);
  const auto first = path.find('/');
  const auto name = path.substr(0, first);
  if (name != "services" && name != "sdk") return name;
  return path.substr(0, path.find('/', first + 1));
}

/// Empty, or the rule that `file` breaks by including `included`.
std::string broken_rule(const std::string& file, const std::string& included) {
  const auto from = folder_of(file);
  if (from == "app") return {};
  for (const auto& [header, owner] : kWrapped) {
    if (included.starts_with(header) && from != owner) return "only " + owner + " may include " + header;
  }
  if (included.find('/') == std::string::npos ||
      !fs::exists(fs::path(INTRA365_SOURCE_DIR) / "src" / included)) {
    if (!fs::exists(fs::path(INTRA365_SOURCE_DIR) / included)) return {};  // not ours
  }
  const auto to = folder_of(included);
  const bool is_test = file.find("test_") != std::string::npos || file.ends_with("_test.cpp") ||
                       file.ends_with("_bench.cpp") || file.ends_with("_fuzz.cpp");
  if (from == to || (is_test && to == "tests")) return {};
  const auto rule = kRules.find(from.starts_with("services/") ? "services" : from);
  if (rule == kRules.end()) return "the folder " + from + " has no rule; give it one";
  return rule->second.contains(to) ? std::string() : from + " may not include " + to;
}

std::vector<std::string> violations() {
  std::vector<std::string> found;
  for (const auto* top : {"src", "sdk", "mates"}) {
    for (const auto& entry : fs::recursive_directory_iterator(fs::path(INTRA365_SOURCE_DIR) / top)) {
      if (entry.path().extension() != ".hpp" && entry.path().extension() != ".cpp") continue;
      const auto file = fs::relative(entry.path(), INTRA365_SOURCE_DIR).string();
      std::ifstream stream(entry.path());
      int number = 0;
      for (std::string line; std::getline(stream, line);) {
        ++number;
        if (!line.starts_with("#include ")) continue;
        const auto begin = line.find_first_of("<\"") + 1, end = line.find_first_of(">\"", begin);
        if (const auto rule = broken_rule(file, line.substr(begin, end - begin)); !rule.empty())
          found.push_back(file + ":" + std::to_string(number) + ": " + rule);
      }
    }
  }
  return found;
}

TEST(Includes, every_folder_knows_only_what_it_may) {
  std::string all;
  for (const auto& one : violations()) all += one + "\n";
  EXPECT_EQ(all, "");
}

TEST(Includes, a_forbidden_include_is_noticed) {
  EXPECT_NE(broken_rule("src/base/time.cpp", "json/json.hpp"), "");
  EXPECT_NE(broken_rule("src/services/audit/service.cpp", "services/consent/store.hpp"), "");
  EXPECT_NE(broken_rule("src/nats/connection.cpp", "postgres/pool.hpp"), "");
  EXPECT_NE(broken_rule("src/services/gateway/service.cpp", "boost/beast/http.hpp"), "");
  EXPECT_NE(broken_rule("src/newcomer/x.cpp", "base/time.hpp"), "");
  EXPECT_EQ(broken_rule("src/services/audit/service.cpp", "platform/service.hpp"), "");
  EXPECT_EQ(broken_rule("src/nats/connection_test.cpp", "tests/support/servers.hpp"), "");
}

}  // namespace
}  // namespace intra365
