// `intra365 backup` and `intra365 restore`: the embedded platform's own backups.
#pragma once
#include <filesystem>

namespace CLI {
class App;
}

namespace intra365::app {

/// Adds both commands. `data_dir` must outlive `app`; `exit_code` is set by the command that ran.
void add_backup_commands(CLI::App& app, const std::filesystem::path& data_dir, int& exit_code);

}  // namespace intra365::app
