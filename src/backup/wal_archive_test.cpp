#include "backup/wal_archive.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>
#include <sstream>

#include "embedded/file.hpp"
#include "tests/support/process.hpp"

namespace intra365::backup {
namespace {

using postgres::Lsn;
using ::testing::ElementsAre;
using ::testing::SizeIs;

constexpr std::uint64_t kSegment = 1u << 20;

struct Backups : ::testing::Test {
  testing::TempDir temp;
  fs::path place = temp.path() / "backups", key = temp.path() / "key";

  Repository repository() {
    auto opened = Repository::open_to_write(place, key, "system", kSegment);
    EXPECT_TRUE(opened) << opened.error().detail;
    return std::move(opened).value();
  }
  static Timestamp at(int seconds) { return from_unix_seconds(1'800'000'000 + seconds); }
  static void add_base(const Repository& repository, const std::string& name, int ended, Lsn start,
                       const std::string& log = "log") {
    Base base;
    base.name = name;
    base.log = log;
    base.begun = base.ended = at(ended);
    base.start = base.end = start.text();
    base.timeline = 1;
    ASSERT_TRUE(embedded::make_directory(repository.base_folder(name)));
    ASSERT_TRUE(repository.write_base(repository.base_folder(name), base));
  }
  static std::string content(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    std::ostringstream text;
    text << stream.rdbuf();
    return text.str();
  }
};

TEST_F(Backups, a_new_place_makes_its_key_closed_to_others) {
  EXPECT_TRUE(repository().made_key());
  struct stat status {};
  ASSERT_EQ(::stat(key.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_FALSE(repository().made_key());
}

TEST_F(Backups, nothing_opens_without_its_key) {
  EXPECT_EQ(Repository::open(place, key).error().code, "backup.not_found");
  repository();
  fs::rename(key, temp.path() / "elsewhere");
  EXPECT_EQ(Repository::open(place, key).error().code, "backup.key_lost");
  EXPECT_EQ(Repository::open_to_write(place, key, "system", kSegment).error().code, "backup.key_lost");
  ASSERT_TRUE(embedded::write_file(key, std::string(43, 'A') + "\n"));
  EXPECT_EQ(Repository::open(place, key).error().code, "backup.wrong_key");
  ASSERT_TRUE(embedded::write_file(key, "short\n"));
  EXPECT_EQ(Repository::open(place, key).error().code, "backup.key_file");
  fs::rename(temp.path() / "elsewhere", key);
  fs::permissions(key, fs::perms(0640));
  EXPECT_EQ(Repository::open(place, key).error().code, "backup.key_file");
}

TEST_F(Backups, one_process_writes_and_for_one_database) {
  {
    const auto first = repository();
    EXPECT_EQ(Repository::open_to_write(place, key, "system", kSegment).error().code, "backup.busy");
    EXPECT_TRUE(Repository::open(place, key)) << "reading is free";
  }
  EXPECT_EQ(Repository::open_to_write(place, key, "other", kSegment).error().code, "backup.other_database");
  fs::create_directory(temp.path() / "foreign");
  ASSERT_TRUE(embedded::write_file(temp.path() / "foreign" / "letter", "text"));
  EXPECT_EQ(Repository::open_to_write(temp.path() / "foreign", key, "system", kSegment).error().code,
            "backup.not_ours");
}

TEST_F(Backups, segments_have_the_names_that_postgres_gives_them) {
  EXPECT_EQ(segment_name(1, Lsn{0x1000000}, 16u << 20), "000000010000000000000001");
  EXPECT_EQ(segment_name(0x1f, Lsn{0x2'ff000001}, 16u << 20), "0000001F00000002000000FF");
  EXPECT_EQ(segment_name(2, Lsn{0x1'40000000}, 1u << 30), "000000020000000100000001");
}

TEST_F(Backups, the_log_is_read_back_as_whole_segments_after_any_number_of_restarts) {
  const auto repository = this->repository();
  std::string log(2 * kSegment + 1000, '\0');
  for (std::size_t at = 0; at < log.size(); ++at) log[at] = static_cast<char>(at * 7 + at / 4096);
  Lsn position{3 * kSegment};
  const Lsn begin = position;
  for (std::size_t written = 0; written < log.size();) {
    auto archive = WalArchive::open(repository, "log", 1, position).value();
    ASSERT_EQ(archive.position(), position);
    const auto piece = std::string_view(log).substr(written, 300'000);
    ASSERT_TRUE(archive.append(piece));
    ASSERT_TRUE(archive.sync());
    written += piece.size();
    position = archive.position();
  }
  const auto out = temp.path() / "out";
  fs::create_directory(out);
  Base base;
  base.log = "log";
  base.timeline = 1;
  base.start = Lsn{begin.value + 5}.text();
  EXPECT_EQ(extract_wal(repository, base, position, out).value(), position);
  std::string read;
  for (int i = 3; i <= 5; ++i) {
    const auto segment = content(out / segment_name(1, Lsn{i * kSegment}, kSegment));
    ASSERT_THAT(segment, SizeIs(kSegment));
    read += segment;
  }
  EXPECT_EQ(read.substr(0, log.size()), log);
  EXPECT_EQ(read.find_first_not_of('\0', log.size()), std::string::npos);

  EXPECT_EQ(extract_wal(repository, base, Lsn{position.value + 1}, out).error().code, "backup.damaged");
  fs::remove(repository.log_folder("log") / segment_name(1, Lsn{4 * kSegment}, kSegment));
  EXPECT_EQ(extract_wal(repository, base, position, out).error().code, "backup.damaged");
}

TEST_F(Backups, old_ones_are_retired_with_the_log_that_only_they_needed) {
  const auto repository = this->repository();
  {
    auto before = WalArchive::open(repository, "before", 1, Lsn{0}).value();
    ASSERT_TRUE(before.append("older than a gap"));
    auto archive = WalArchive::open(repository, "log", 1, Lsn{kSegment}).value();
    ASSERT_TRUE(archive.append(std::string(5 * kSegment, 'w')));
  }
  add_base(repository, "one", 10, Lsn{0}, "before");
  add_base(repository, "two", 20, Lsn{3 * kSegment + 7});
  add_base(repository, "three", 30, Lsn{5 * kSegment});
  ASSERT_TRUE(repository.write_coverage({"log", Lsn{6 * kSegment}.text(), at(40)}));
  ASSERT_TRUE(repository.retire(2));
  std::vector<std::string> names;
  const auto left = repository.bases().value();
  for (const auto& base : left) names.push_back(base.name);
  EXPECT_THAT(names, ElementsAre("two", "three"));
  const auto there = [&](std::uint64_t segment) {
    return fs::exists(repository.log_folder("log") / segment_name(1, Lsn{segment * kSegment}, kSegment));
  };
  EXPECT_FALSE(there(2));
  EXPECT_TRUE(there(3) && there(4) && there(5));
  EXPECT_EQ(repository.coverage("log").value()->until, at(40));
  EXPECT_FALSE(repository.coverage("before").value());
  EXPECT_FALSE(fs::exists(repository.log_folder("before")));
}

TEST_F(Backups, a_backup_given_another_name_is_damage) {
  const auto repository = this->repository();
  add_base(repository, "one", 10, Lsn{kSegment});
  fs::rename(repository.base_folder("one"), repository.base_folder("two"));
  EXPECT_EQ(repository.bases().error().code, "backup.damaged");
}

}  // namespace
}  // namespace intra365::backup
