#include "app/setup.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>

#include "embedded/locate.hpp"

namespace intra365::embedded_text {
extern const std::string_view script_library, fetch_servers;
}

namespace intra365::app {
namespace {

namespace fs = std::filesystem;

bool write(const fs::path& path, std::string_view text) {
  std::ofstream file(path, std::ios::binary);
  file.write(text.data(), static_cast<std::streamsize>(text.size()));
  return static_cast<bool>(file.flush());
}

/// Runs the script with our own terminal, so that its progress is seen and Ctrl-C reaches it.
int run(const fs::path& script, const fs::path& into) {
  const auto child = ::fork();
  if (child == 0) {
    ::setenv("INTRA365_DEPS", into.c_str(), 1);
    ::execlp("bash", "bash", script.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return 1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

}  // namespace

int setup() {
  const auto into = embedded::own_runtime_directory();
  std::error_code error;
  fs::create_directories(into, error);
  auto pattern = (fs::temp_directory_path() / "intra365-setup-XXXXXX").string();
  if (error || ::mkdtemp(pattern.data()) == nullptr) {
    std::cerr << "intra365: cannot write " << into.string() << "; run as a user who can\n";
    return 1;
  }
  const fs::path scratch = pattern, scripts = scratch / "scripts";
  fs::create_directory(scripts, error);
  int code = 1;
  if (write(scripts / "lib.sh", embedded_text::script_library) &&
      write(scripts / "fetch-servers", embedded_text::fetch_servers)) {
    code = run(scripts / "fetch-servers", into);
  }
  fs::remove_all(scratch, error);
  if (code == 127) std::cerr << "intra365: setup needs bash\n";
  if (code != 0) return 1;
  const auto runtime = embedded::locate();
  if (!runtime) {
    std::cerr << "intra365: " << runtime.error().detail << "\n";
    return 1;
  }
  std::cout << "nats-server " << runtime->nats_version << ": " << runtime->nats_server.string()
            << "\nPostgreSQL " << runtime->postgres_version << ": " << runtime->postgres_home.string()
            << "\n";
  return 0;
}

}  // namespace intra365::app
