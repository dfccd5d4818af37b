// Child processes and their supervision, with small programs in the place of servers.
#include "embedded/supervisor.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <fstream>

#include "embedded/embedded_test_support.hpp"

namespace intra365::embedded {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct SupervisorTest : ::testing::Test {
  testing::TempDir temp;
  asio::io_context loop;
  std::vector<std::string> told;

  ProcessSpec shell(const std::string& script) const {
    ProcessSpec spec;
    spec.name = "script";
    spec.arguments = {"/bin/sh", "-c", script};
    spec.environment = {"PATH=/usr/bin:/bin", "MARK=" + (temp.path() / "mark").string()};
    spec.log_file = temp.path() / "log";
    return spec;
  }
  /// Ready once the script has made its mark.
  Supervisor::Hooks hooks() {
    Supervisor::Hooks made;
    made.ready = [mark = temp.path() / "mark"](SteadyTime deadline) { return wait_for(mark, deadline); };
    made.on_state = [this](ServerState state, std::string_view reason) {
      told.push_back(state == ServerState::up ? "up" : "down: " + std::string(reason));
    };
    return made;
  }
  static Task<> wait_for(fs::path mark, SteadyTime deadline) {
    while (!fs::exists(mark)) {
      if (std::chrono::steady_clock::now() > deadline) co_return fail(intra365::errors::deadline);
      co_await sleep_for(std::chrono::milliseconds(2));
    }
    co_return Result<void>{};
  }
  std::string log() const { return testing::read_file(temp.path() / "log"); }
};

TEST_F(SupervisorTest, program_that_ends_at_once_is_reported_with_its_last_words) {
  Supervisor supervisor(loop.get_executor(), shell("echo 'cannot open the frobnicator' >&2; exit 3"),
                        hooks());
  const auto started = run(loop, supervisor.start(in_seconds(20)));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().code, "server.failed");
  EXPECT_THAT(started.error().detail, HasSubstr("exit code 3"));
  EXPECT_THAT(started.error().detail, HasSubstr("cannot open the frobnicator"));
  EXPECT_EQ(supervisor.pid(), 0);
}

TEST_F(SupervisorTest, program_that_never_answers_is_ended_at_the_deadline) {
  Supervisor supervisor(loop.get_executor(), shell("echo $$; exec sleep 1000"), hooks());
  const auto started =
      run(loop, supervisor.start(std::chrono::steady_clock::now() + std::chrono::milliseconds(300)));
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().detail, HasSubstr("did not answer in time"));
  EXPECT_NE(::kill(std::stoi(log()), 0), 0);
}

TEST_F(SupervisorTest, missing_program_is_an_error_not_a_crash) {
  auto spec = shell("");
  spec.arguments = {"/nowhere/at/all"};
  Supervisor supervisor(loop.get_executor(), spec, hooks());
  const auto started = run(loop, supervisor.start(in_seconds(5)));
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().detail, HasSubstr("No such file"));
}

TEST_F(SupervisorTest, program_that_dies_is_started_again_and_both_are_told) {
  Supervisor supervisor(loop.get_executor(), shell("touch $MARK; exec sleep 1000"), hooks());
  ASSERT_TRUE(run(loop, supervisor.start(in_seconds(20))));
  const pid_t first = supervisor.pid();
  ::kill(first, SIGKILL);
  ASSERT_TRUE(
      run_until(loop, [&] { return supervisor.restarts() == 1 && supervisor.state() == ServerState::up; }));
  EXPECT_NE(supervisor.pid(), first);
  ASSERT_TRUE(run(loop, supervisor.stop(in_seconds(10))));
  EXPECT_THAT(told, ElementsAre("up", "down: signal 9", "up", "down: stopped"));
}

TEST_F(SupervisorTest, nothing_is_started_again_after_stop_even_while_it_pauses) {
  Supervisor supervisor(loop.get_executor(), shell("touch $MARK; exec sleep 1000"), hooks());
  ASSERT_TRUE(run(loop, supervisor.start(in_seconds(20))));
  ::kill(supervisor.pid(), SIGKILL);
  ASSERT_TRUE(run_until(loop, [&] { return supervisor.state() == ServerState::down; }));
  ASSERT_TRUE(run(loop, supervisor.stop(in_seconds(10))));
  EXPECT_EQ(supervisor.restarts(), 0u);
  EXPECT_EQ(supervisor.pid(), 0);
}

TEST_F(SupervisorTest, program_that_ignores_the_request_to_stop_is_killed_at_the_deadline) {
  Supervisor supervisor(loop.get_executor(), shell("trap '' TERM; touch $MARK; while :; do sleep 0.01; done"),
                        hooks());
  ASSERT_TRUE(run(loop, supervisor.start(in_seconds(20))));
  const pid_t pid = supervisor.pid();
  ASSERT_TRUE(run(loop, supervisor.stop(std::chrono::steady_clock::now() + std::chrono::milliseconds(200))));
  EXPECT_NE(::kill(pid, 0), 0);
}

TEST_F(SupervisorTest, child_gets_nothing_of_ours_but_what_is_given) {
  ::setenv("INTRA365_TEST_SECRET", "do-not-inherit", 1);
  const int leaked = ::dup(0);  // a descriptor without close-on-exec, as careless libraries leave them
  const auto done =
      run(loop, run_to_end(shell("env; pwd; ls /proc/self/fd | wc -l; umask; exit 0"), in_seconds(20)));
  ::close(leaked);
  ::unsetenv("INTRA365_TEST_SECRET");
  ASSERT_TRUE(done) << done.error().detail;
  EXPECT_THAT(log(), Not(HasSubstr("do-not-inherit")));
  EXPECT_THAT(log(), HasSubstr("\n/\n"));
  EXPECT_THAT(log(), HasSubstr("\n4\n"));  // 0, 1, 2 and the one that ls reads the folder with
  EXPECT_THAT(log(), HasSubstr("0077"));
}

TEST_F(SupervisorTest, child_of_root_runs_as_the_user_that_is_asked_for) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  auto spec = shell("id -u; id -g; id -G");
  spec.user = UnixUser{65534, 65534};
  const auto done = run(loop, run_to_end(spec, in_seconds(20)));
  ASSERT_TRUE(done) << done.error().detail;
  EXPECT_EQ(log(), "65534\n65534\n65534\n");
}

TEST_F(SupervisorTest, program_that_takes_too_long_is_killed_and_said_so) {
  const auto done = run(loop, run_to_end(shell("sleep 1000 & echo $!; wait"),
                                         std::chrono::steady_clock::now() + std::chrono::milliseconds(200)));
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().detail, HasSubstr("no end in time"));
  // A zombie that nobody has collected yet still has a directory in /proc, but no memory.
  const auto command = "/proc/" + std::to_string(std::stoi(log())) + "/cmdline";
  EXPECT_TRUE(run_until(loop, [&] { return std::ifstream(command).peek() == EOF; }))
      << "what it started goes with it";
}

}  // namespace
}  // namespace intra365::embedded
