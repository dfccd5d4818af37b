#include "embedded/data_directory.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto/certificate.hpp"
#include "embedded/certificates.hpp"
#include "embedded/file.hpp"
#include "embedded/keys.hpp"
#include "tests/support/process.hpp"

namespace intra365::embedded {
namespace {

using std::chrono::days;
using ::testing::Contains;
using ::testing::HasSubstr;

struct DataDirectoryTest : ::testing::Test {
  testing::TempDir temp;
  fs::path path = temp.path() / "some/where/data";

  std::string refusal() {
    const auto opened = DataDirectory::open(path);
    return opened ? "opened" : opened.error().code;
  }
};

TEST_F(DataDirectoryTest, new_directory_is_made_with_everything_above_it_and_is_private) {
  const auto opened = DataDirectory::open(path);
  ASSERT_TRUE(opened) << opened.error().detail;
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, ::geteuid() == 0 ? 0711u : 0700u);
  EXPECT_EQ(testing::read_file(path / "version"), "1\n");
  EXPECT_EQ(testing::read_file(path / "lock"), std::to_string(::getpid()) + "\n");
}

TEST_F(DataDirectoryTest, lock_is_held_as_long_as_the_object_lives_and_moves_with_it) {
  {
    auto first = DataDirectory::open(path);
    ASSERT_TRUE(first);
    const auto moved = std::move(*first);
    EXPECT_EQ(refusal(), "data.locked");
    EXPECT_EQ(running_in(path), ::getpid());
  }
  EXPECT_EQ(running_in(path), 0);
  EXPECT_EQ(refusal(), "opened");
}

TEST_F(DataDirectoryTest, newer_layout_is_refused_and_left_as_it_is) {
  fs::create_directories(path);
  testing::write_file(path / "version", "2\n");
  testing::write_file(path / "endpoints.json", "{}");
  EXPECT_EQ(refusal(), "data.newer_version");
  EXPECT_TRUE(fs::exists(path / "endpoints.json"));
  testing::write_file(path / "version", "nonsense");
  EXPECT_EQ(refusal(), "data.not_ours");
}

TEST_F(DataDirectoryTest, directory_with_other_files_is_refused_and_not_touched) {
  fs::create_directories(path);
  fs::permissions(path, fs::perms(0755));
  testing::write_file(path / "thesis.txt", "mine");
  EXPECT_EQ(refusal(), "data.not_ours");
  EXPECT_FALSE(fs::exists(path / "lock"));
  EXPECT_EQ(fs::status(path).permissions(), fs::perms(0755));
}

TEST_F(DataDirectoryTest, endpoints_left_by_a_crash_are_removed) {
  ASSERT_EQ(refusal(), "opened");
  testing::write_file(path / "endpoints.json", "{}");
  ASSERT_EQ(refusal(), "opened");
  EXPECT_FALSE(fs::exists(path / "endpoints.json"));
}

TEST_F(DataDirectoryTest, directory_of_another_user_is_refused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  fs::create_directories(path);
  ASSERT_EQ(::chown(path.c_str(), 65534, 65534), 0);
  const auto refused = DataDirectory::open(path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "data.other_user");
  EXPECT_THAT(refused.error().detail, HasSubstr("65534"));
}

TEST_F(DataDirectoryTest, full_disk_is_said_before_anything_is_started) {
  fs::create_directories(path);
  if (::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=1m") != 0) GTEST_SKIP() << "may not mount";
  const auto refused = refusal();
  // A write that really fails for want of space says the same.
  const auto written = write_file(path / "large", std::string(2 << 20, 'x'));
  const bool left = fs::exists(path / "large.new");
  ::umount(path.c_str());
  EXPECT_EQ(refused, "data.disk_full");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, "data.disk_full");
  EXPECT_FALSE(left);
}

TEST_F(DataDirectoryTest, file_where_the_directory_should_be_is_an_error_with_its_name) {
  fs::create_directories(path.parent_path());
  testing::write_file(path, "");
  const auto refused = DataDirectory::open(path);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, "data.unwritable");
  EXPECT_THAT(refused.error().detail, HasSubstr(path.string()));
}

TEST_F(DataDirectoryTest, keys_are_made_once_and_any_that_is_lost_or_open_is_named) {
  const auto directory = DataDirectory::open(path).value();
  const KeyFiles files(directory.paths());
  const auto made = load_or_make_keys(directory.paths());
  ASSERT_TRUE(made) << made.error().detail;
  const auto loaded = load_or_make_keys(directory.paths());
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->public_keys.platform, made->public_keys.platform);
  EXPECT_EQ(loaded->owner_password, made->owner_password);

  const auto secret = testing::read_file(files.callout_xkey_seed());
  fs::remove(files.callout_xkey_seed());
  const auto lost = load_or_make_keys(directory.paths());
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, "data.keys_lost");
  EXPECT_THAT(lost.error().detail, HasSubstr("callout-xkey.seed"));
  ASSERT_TRUE(write_file(files.callout_xkey_seed(), secret, 0640));
  EXPECT_THAT(load_or_make_keys(directory.paths()).error().detail, HasSubstr("read by others"));
}

TEST_F(DataDirectoryTest, certificates_are_kept_until_30_days_before_their_end_and_the_authority_longer) {
  const auto directory = DataDirectory::open(path).value();
  const auto& paths = directory.paths();
  const auto now = from_unix_seconds(1'800'000'000);
  ASSERT_TRUE(ensure_certificates(paths, "0.0.0.0", now));
  const auto authority = testing::read_file(paths.ca_certificate()),
             server = testing::read_file(paths.server_certificate());
  const auto names = crypto::read_certificate(server)->names;
  for (const auto* name : {"localhost", "127.0.0.1", "::1"}) EXPECT_THAT(names, Contains(name));
  EXPECT_EQ(fs::status(paths.server_key()).permissions(), fs::perms(0600));

  ASSERT_TRUE(ensure_certificates(paths, "0.0.0.0", now + days(330)));
  EXPECT_EQ(testing::read_file(paths.server_certificate()), server);
  ASSERT_TRUE(ensure_certificates(paths, "0.0.0.0", now + days(340)));
  const auto renewed = testing::read_file(paths.server_certificate());
  EXPECT_NE(renewed, server);
  EXPECT_EQ(testing::read_file(paths.ca_certificate()), authority);
  EXPECT_TRUE(crypto::signed_by(renewed, authority));

  // An address to listen on that is new gets into the certificate.
  ASSERT_TRUE(ensure_certificates(paths, "192.0.2.7", now + days(340)));
  EXPECT_THAT(crypto::read_certificate(testing::read_file(paths.server_certificate()))->names,
              Contains("192.0.2.7"));
}

}  // namespace
}  // namespace intra365::embedded
