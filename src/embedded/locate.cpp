#include "embedded/locate.hpp"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <functional>
#include <sstream>
#include <vector>

#include "embedded/child_process.hpp"

namespace intra365::embedded {
namespace fs = std::filesystem;

namespace {

constexpr std::string_view kOldestNats = "2.12";
constexpr std::string_view kOldestPostgres = "16";

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

fs::path program_directory() {
  std::error_code error;
  return fs::read_symlink("/proc/self/exe", error).parent_path();
}

std::vector<fs::path> path_directories() {
  std::vector<fs::path> directories;
  std::istringstream list(environment("PATH"));
  for (std::string directory; std::getline(list, directory, ':');) {
    if (directory.starts_with('/')) directories.emplace_back(directory);
  }
  return directories;
}

std::vector<fs::path> nats_candidates() {
  std::vector<fs::path> candidates;
  for (const auto& bundle : runtime_directories()) candidates.push_back(bundle / "bin/nats-server");
  for (const auto& directory : path_directories()) candidates.push_back(directory / "nats-server");
  return candidates;
}

std::vector<fs::path> postgres_candidates() {
  std::vector<fs::path> candidates;
  for (const auto& bundle : runtime_directories()) candidates.push_back(bundle / "postgres");
  std::error_code error;
  std::vector<fs::path> versions;
  const fs::path debian = "/usr/lib/postgresql", copied = fs::path(system_directory) / "runtime";
  for (const auto& folder : {copied, debian}) {
    std::error_code missing;
    for (fs::directory_iterator entry(folder, missing), end; !missing && entry != end;
         entry.increment(missing)) {
      const auto name = entry->path().filename().string();
      if (folder == debian || name.starts_with("postgres-")) versions.push_back(entry->path());
    }
  }
  std::ranges::sort(versions, [](const fs::path& a, const fs::path& b) {  // newest first
    return !version_at_least(version_in(a.filename().string()), version_in(b.filename().string()));
  });
  candidates.insert(candidates.end(), versions.begin(), versions.end());
  for (const auto& directory : path_directories()) {
    if (fs::exists(directory / "postgres", error)) candidates.push_back(directory.parent_path());
  }
  return candidates;
}

/// One of the two servers, as the search needs it.
struct Wanted {
  std::string_view name;
  const char* variable;
  std::string_view oldest;
  std::function<std::vector<fs::path>()> candidates;
  std::vector<std::string> programs;  ///< below the candidate, "" for itself; the first tells its version
};

struct Found {
  fs::path path;
  std::string version;
};

Result<Found> try_candidate(const Wanted& wanted, const fs::path& candidate) {
  std::error_code error;
  const auto inside = [](const fs::path& base, const std::string& name) {
    return name.empty() ? base : base / name;
  };
  for (const auto& name : wanted.programs) {
    const auto program = inside(candidate, name);
    if (::access(program.c_str(), X_OK) != 0)
      return fail(errors::runtime_missing, "there is no program " + program.string());
  }
  const auto path = fs::canonical(candidate, error);
  const auto program = inside(path, wanted.programs.front());
  const auto text = output_of({program.string(), "--version"});
  if (error || !text) return fail(errors::runtime_missing, program.string() + " does not run here");
  const auto version = version_in(*text);
  if (!version_at_least(wanted.oldest, version)) {
    return fail(errors::runtime_too_old,
                program.string() + " is version " + version + ", older than " + std::string(wanted.oldest));
  }
  return Found{path, version};
}

Result<Found> find(const Wanted& wanted) {
  const auto what_to_do = ". Run `intra365 setup`, or set " + std::string(wanted.variable) + " to your own.";
  if (const auto named = environment(wanted.variable); !named.empty()) {
    auto found = try_candidate(wanted, fs::absolute(named));
    if (found) return found;
    return fail(
        Error(found.error().kind, found.error().code,
              std::string(wanted.variable) + " does not serve: " + found.error().detail + what_to_do));
  }
  std::string too_old;
  for (const auto& candidate : wanted.candidates()) {
    auto found = try_candidate(wanted, candidate);
    if (found) return found;
    if (found.error().is(errors::runtime_too_old)) too_old = found.error().detail;
  }
  if (!too_old.empty()) return fail(errors::runtime_too_old, too_old + what_to_do);
  return fail(errors::runtime_missing, std::string(wanted.name) + " " + std::string(wanted.oldest) +
                                           " or newer was found neither beside the program nor in " +
                                           system_directory + "/runtime nor on PATH" + what_to_do);
}

}  // namespace

std::vector<fs::path> runtime_directories() {
  const auto beside = program_directory();
  return {beside / "../../.deps", beside / "../.deps", beside / "../lib/intra365",
          fs::path(system_directory) / "runtime", own_runtime_directory()};
}

fs::path own_runtime_directory() {
  if (::geteuid() == 0) return fs::path(system_directory) / "runtime";
  const auto data = environment("XDG_DATA_HOME"), home = environment("HOME");
  return (data.starts_with('/') ? fs::path(data) : fs::path(home) / ".local/share") / "intra365/runtime";
}

std::string version_in(std::string_view text) {
  const auto begin = text.find_first_of("0123456789");
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin);
  auto version = std::string(text.substr(0, text.find_first_not_of("0123456789.")));
  while (version.ends_with('.')) version.pop_back();
  return version;
}

bool version_at_least(std::string_view minimum, std::string_view version) {
  const auto take = [](std::string_view& text) {
    unsigned number = 0;
    const auto end = std::from_chars(text.data(), text.data() + text.size(), number).ptr;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    if (text.starts_with('.'))
      text.remove_prefix(1);
    else
      text = {};
    return number;
  };
  if (version.empty()) return false;
  while (!minimum.empty() || !version.empty()) {
    const auto wanted = take(minimum), actual = take(version);
    if (wanted != actual) return actual > wanted;
  }
  return true;
}

Result<Runtime> locate() {
  const Wanted nats{"nats-server", "INTRA365_NATS_SERVER", kOldestNats, nats_candidates, {""}};
  const Wanted postgres{"PostgreSQL",
                        "INTRA365_POSTGRES_HOME",
                        kOldestPostgres,
                        postgres_candidates,
                        {"bin/postgres", "bin/initdb"}};
  TRY(auto nats_server, find(nats));
  TRY(auto postgres_home, find(postgres));
  return Runtime{std::move(nats_server.path), std::move(nats_server.version), std::move(postgres_home.path),
                 std::move(postgres_home.version)};
}

}  // namespace intra365::embedded
