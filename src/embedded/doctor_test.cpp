#include "embedded/doctor.hpp"

#include <gmock/gmock.h>

#include "embedded/data_directory.hpp"
#include "embedded/file.hpp"
#include "embedded/keys.hpp"
#include "tests/support/process.hpp"

namespace intra365::embedded {
namespace {

using ::testing::HasSubstr;

struct DoctorTest : ::testing::Test {
  testing::TempDir temp;
  fs::path data = temp.path() / "data";

  Check find(const std::string& name) {
    for (auto& check : doctor(data, system_clock().now())) {
      if (check.name == name) return check;
    }
    ADD_FAILURE() << "no check named " << name;
    return {};
  }
};

TEST_F(DoctorTest, nothing_is_wrong_with_a_directory_that_is_not_there_yet_and_none_is_made) {
  for (const auto& check : doctor(data, system_clock().now())) {
    EXPECT_TRUE(check.ok) << check.name << ": " << check.message;
    EXPECT_TRUE(check.mend.empty()) << check.name;
  }
  EXPECT_FALSE(fs::exists(data));
}

TEST_F(DoctorTest, running_program_is_named) {
  const auto held = DataDirectory::open(data);
  ASSERT_TRUE(held);
  EXPECT_THAT(find("data_directory").message, HasSubstr("in use by process " + std::to_string(::getpid())));
  const auto servers = find("servers");
  EXPECT_FALSE(servers.ok);
  EXPECT_THAT(servers.message, HasSubstr("endpoints.json"));
}

TEST_F(DoctorTest, server_that_does_not_answer_is_named_with_what_to_do) {
  const auto held = DataDirectory::open(data).value();
  ASSERT_TRUE(
      held.write_endpoints(R"({"nats":"nats://127.0.0.1:1","postgres":"postgresql://a:b@127.0.0.1:1/x"})"));
  const auto servers = find("servers");
  EXPECT_FALSE(servers.ok);
  EXPECT_THAT(servers.message, HasSubstr("neither server"));
  EXPECT_THAT(servers.mend, HasSubstr("logs"));
}

TEST_F(DoctorTest, key_that_others_can_read_is_found) {
  const auto held = DataDirectory::open(data).value();
  ASSERT_TRUE(load_or_make_keys(held.paths()));
  EXPECT_TRUE(find("keys").ok);
  fs::permissions(KeyFiles(held.paths()).key_encryption_key(), fs::perms(0644));
  const auto keys = find("keys");
  EXPECT_FALSE(keys.ok);
  EXPECT_THAT(keys.message, HasSubstr("key-encryption.key"));
}

TEST_F(DoctorTest, missing_runtime_comes_with_what_mends_it) {
  ::setenv("INTRA365_NATS_SERVER", "/nowhere/nats-server", 1);
  const auto runtime = find("runtime");
  ::unsetenv("INTRA365_NATS_SERVER");
  EXPECT_FALSE(runtime.ok);
  EXPECT_THAT(runtime.message, HasSubstr("/nowhere/nats-server"));
  EXPECT_THAT(runtime.mend, HasSubstr("intra365 setup"));
}

}  // namespace
}  // namespace intra365::embedded
