#include "embedded/locate.hpp"

#include <gmock/gmock.h>

#include <cstdlib>

#include "tests/support/process.hpp"

namespace intra365::embedded {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

/// Sets a variable for one test.
struct Variable {
  const char* name;
  Variable(const char* name, const std::string& value) : name(name) { ::setenv(name, value.c_str(), 1); }
  ~Variable() { ::unsetenv(name); }
};

void write_program(const fs::path& path, const std::string& says) {
  fs::create_directories(path.parent_path());
  testing::write_file(path, "#!/bin/sh\necho '" + says + "'\n");
  fs::permissions(path, fs::perms(0755));
}

TEST(Locate, finds_both_servers_with_their_versions) {
  const auto runtime = locate();
  ASSERT_TRUE(runtime) << runtime.error().detail;
  EXPECT_TRUE(version_at_least("2.12", runtime->nats_version)) << runtime->nats_version;
  EXPECT_TRUE(version_at_least("16", runtime->postgres_version)) << runtime->postgres_version;
  EXPECT_TRUE(runtime->nats_server.is_absolute());
  EXPECT_TRUE(fs::exists(runtime->postgres_home / "bin/initdb"));
}

TEST(Locate, program_named_by_the_environment_is_taken_and_must_serve) {
  const testing::TempDir temp;
  const auto program = temp.path() / "my-nats";
  const Variable named("INTRA365_NATS_SERVER", program.string());
  const auto missing = locate();
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, "runtime.missing");
  EXPECT_THAT(missing.error().detail, HasSubstr("INTRA365_NATS_SERVER"));

  write_program(program, "nats-server: v2.9.10");
  const auto old = locate();
  ASSERT_FALSE(old);
  EXPECT_EQ(old.error().code, "runtime.too_old");
  EXPECT_THAT(old.error().detail, HasSubstr("2.9.10"));
  EXPECT_THAT(old.error().detail, HasSubstr("intra365 setup"));

  write_program(program, "nats-server: v2.12.0-RC.1");
  const auto good = locate();
  ASSERT_TRUE(good) << good.error().detail;
  EXPECT_EQ(good->nats_server, fs::canonical(program));
  EXPECT_EQ(good->nats_version, "2.12.0");
}

TEST(Locate, postgres_home_named_by_the_environment_needs_both_programs_and_a_new_version) {
  const testing::TempDir temp;
  const Variable named("INTRA365_POSTGRES_HOME", temp.path().string());
  write_program(temp.path() / "bin/postgres", "postgres (PostgreSQL) 15.9 (Debian 15.9-1)");
  ASSERT_FALSE(locate());
  EXPECT_THAT(locate().error().detail, HasSubstr("initdb"));
  write_program(temp.path() / "bin/initdb", "initdb");
  EXPECT_EQ(locate().error().code, "runtime.too_old");
  write_program(temp.path() / "bin/postgres", "postgres (PostgreSQL) 16.4");
  EXPECT_EQ(locate()->postgres_version, "16.4");
}

TEST(Locate, versions_compare_by_number_and_not_by_text) {
  EXPECT_TRUE(version_at_least("2.12", "2.12"));
  EXPECT_TRUE(version_at_least("2.12", "2.12.0"));
  EXPECT_TRUE(version_at_least("2.9", "2.12"));
  EXPECT_FALSE(version_at_least("2.12", "2.9.10"));
  EXPECT_TRUE(version_at_least("16", "18.4"));
  EXPECT_FALSE(version_at_least("16", ""));
  EXPECT_EQ(version_in("nats-server: v2.15.1\n"), "2.15.1");
  EXPECT_EQ(version_in("no number"), "");
}

}  // namespace
}  // namespace intra365::embedded
