#include "backup/repository.hpp"

#include <gtest/gtest.h>

#include "embedded/file.hpp"
#include "tests/support/process.hpp"

namespace intra365::backup {
namespace {

struct RepositoryTest : ::testing::Test {
  testing::TempDir temp;

  Repository open_to_write() {
    return Repository::open_to_write(temp.path() / "place", temp.path() / "key", "4711", 16 << 20).value();
  }
  Repository open() { return Repository::open(temp.path() / "place", temp.path() / "key").value(); }

  /// A base backup that needs its log from `start` on and is consistent at `end`.
  static void add_base(const Repository& repository, const std::string& name, const std::string& log,
                       const std::string& start, const std::string& end) {
    Base base;
    base.name = name;
    base.log = log;
    base.begun = base.ended = parse_rfc3339("2026-11-" + name + "T10:00:00Z").value();
    base.start = start;
    base.end = end;
    base.timeline = 1;
    ASSERT_TRUE(embedded::make_directory(repository.base_folder(name)));
    ASSERT_TRUE(repository.write_base(repository.base_folder(name), base));
    ASSERT_TRUE(embedded::make_directory(repository.log_folder(log)));
  }
  static std::string names(const Repository& repository) {
    std::string text;
    const auto bases = repository.bases().value();
    for (const auto& base : bases) text += base.name + " ";
    return text;
  }
};

TEST_F(RepositoryTest, what_a_killed_base_backup_has_left_goes_when_the_place_is_written_to_again) {
  const auto left = temp.path() / "place/bases/20261123T101500Z.part";
  {
    const auto repository = open_to_write();
    add_base(repository, "01", "01", "0/1000000", "0/1000100");
    ASSERT_TRUE(embedded::make_directory(left));
    ASSERT_TRUE(embedded::write_file(left / "base", std::string(1000, 'x')));
    const auto reader = open();
    EXPECT_TRUE(fs::exists(left / "base")) << "a reader leaves alone what the writer may be making";
  }
  const auto repository = open_to_write();
  EXPECT_FALSE(fs::exists(left));
  EXPECT_EQ(names(repository), "01 ");
}

TEST_F(RepositoryTest, bases_that_cannot_be_restored_are_not_counted_among_those_to_keep) {
  const auto repository = open_to_write();
  add_base(repository, "01", "01", "0/1000000", "0/1000100");
  add_base(repository, "02", "02", "0/2000000", "0/2000100");
  add_base(repository, "03", "03", "0/3000000", "0/3000100");
  add_base(repository, "04", "04", "0/4000000", "0/4000100");
  const Timestamp until{};
  ASSERT_TRUE(repository.write_coverage({"01", "0/1FFFFFF", until}));
  ASSERT_TRUE(repository.write_coverage({"02", "0/2FFFFFF", until}));
  ASSERT_TRUE(repository.write_coverage({"03", "0/30000FF", until}));

  const auto bases = repository.bases().value();
  EXPECT_TRUE(repository.covered(bases[1]).value());
  EXPECT_FALSE(repository.covered(bases[2]).value()) << "its log was cut just before it was consistent";
  EXPECT_FALSE(repository.covered(bases[3]).value()) << "it has no log";

  ASSERT_TRUE(repository.retire(2));
  EXPECT_EQ(names(repository), "01 02 03 04 ");
  ASSERT_TRUE(repository.retire(1));
  EXPECT_EQ(names(repository), "02 03 04 ");
  EXPECT_FALSE(fs::exists(repository.log_folder("01")));
  EXPECT_TRUE(fs::exists(repository.log_folder("02")));

  // Once a newer one can be restored, what lies before it goes, with those that never could.
  ASSERT_TRUE(repository.write_coverage({"04", "0/4000100", until}));
  ASSERT_TRUE(repository.retire(1));
  EXPECT_EQ(names(repository), "04 ");
  EXPECT_FALSE(fs::exists(repository.log_folder("03")));
}

}  // namespace
}  // namespace intra365::backup
