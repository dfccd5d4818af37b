#include "backup/tar.hpp"

#include <gmock/gmock.h>

namespace intra365::backup {
namespace {

using ::testing::ElementsAre;

struct Seen final : TarSink {
  Result<void> begin(const TarEntry& entry) override {
    entries.push_back(entry.name + (entry.kind == TarEntry::Kind::directory ? "/" : "="));
    modes.push_back(entry.mode);
    return {};
  }
  Result<void> data(std::string_view bytes) override {
    entries.back() += bytes;
    return {};
  }
  Result<void> end() override {
    ++ended;
    return {};
  }
  std::vector<std::string> entries;
  std::vector<unsigned> modes;
  int ended = 0;
};

std::string file(const std::string& name, const std::string& content, unsigned mode = 0600) {
  return tar_header(name, content.size(), mode).value() + content +
         std::string(tar_padding(content.size()), '\0');
}
const std::string kEnd(1024, '\0');

/// With one field of the header changed, and the sum put right.
std::string altered(std::string block, std::size_t at, std::string_view text) {
  block.replace(at, text.size(), text);
  block.replace(148, 8, "        ");
  unsigned sum = 0;
  for (std::size_t i = 0; i < 512; ++i) sum += static_cast<unsigned char>(block[i]);
  char digits[8];
  std::snprintf(digits, sizeof digits, "%06o", sum);
  block.replace(148, 7, std::string(digits, 7));
  return block;
}

std::string code_of(const std::string& archive) {
  Seen seen;
  TarReader reader(seen);
  const auto fed = reader.feed(archive);
  return fed ? "" : fed.error().code;
}

TEST(Tar, entries_come_whole_whatever_the_pieces) {
  const auto archive = file("PG_VERSION", "18\n") + file("base/1/112", std::string(1000, 'x'), 0640) +
                       file("empty", "") + kEnd;
  for (const std::size_t piece : {1u, 7u, 512u, 100'000u}) {
    Seen seen;
    TarReader reader(seen);
    for (std::size_t at = 0; at < archive.size(); at += piece)
      ASSERT_TRUE(reader.feed(std::string_view(archive).substr(at, piece)));
    EXPECT_TRUE(reader.finish());
    EXPECT_THAT(seen.entries,
                ElementsAre("PG_VERSION=18\n", "base/1/112=" + std::string(1000, 'x'), "empty="));
    EXPECT_THAT(seen.modes, ElementsAre(0600u, 0640u, 0600u));
    EXPECT_EQ(seen.ended, 3);
  }
}

TEST(Tar, folders_are_told_without_their_slash) {
  Seen seen;
  TarReader reader(seen);
  ASSERT_TRUE(reader.feed(altered(tar_header("./pg_wal/", 0, 0700).value(), 156, "5")));
  EXPECT_THAT(seen.entries, ElementsAre("pg_wal/"));
}

TEST(Tar, what_leads_elsewhere_or_is_not_ours_is_refused) {
  const auto fine = file("name", "");
  EXPECT_EQ(code_of(fine), "");
  for (const char* name : {"/etc/passwd", "../up", "a/../../b", "a//b", "a/./b", ".."})
    EXPECT_EQ(code_of(file(name, "")), "backup.damaged") << name;
  EXPECT_EQ(code_of(altered(fine, 156, "6")), "backup.damaged") << "a pipe";
  EXPECT_EQ(code_of(altered(fine, 257, "other")), "backup.damaged") << "another format";
  EXPECT_EQ(code_of(altered(fine, 124, "9")), "backup.damaged") << "not octal";
  EXPECT_EQ(code_of(altered(fine, 345, "prefix")), "backup.damaged") << "a name in two parts";
  auto changed = fine;
  changed[0] = 'N';
  EXPECT_EQ(code_of(changed), "backup.damaged") << "a wrong sum";
}

TEST(Tar, an_archive_that_is_cut_has_not_finished) {
  const auto archive = file("name", "content");
  for (const std::size_t size : {1u, 511u, 515u, 600u}) {
    Seen seen;
    TarReader reader(seen);
    ASSERT_TRUE(reader.feed(std::string_view(archive).substr(0, size)));
    EXPECT_FALSE(reader.finish()) << size;
  }
}

TEST(Tar, names_and_files_too_long_for_the_format_are_refused) {
  EXPECT_TRUE(tar_header(std::string(99, 'n'), 1, 0600));
  EXPECT_FALSE(tar_header(std::string(100, 'n'), 1, 0600));
  EXPECT_FALSE(tar_header("large", std::uint64_t{1} << 33, 0600));
}

}  // namespace
}  // namespace intra365::backup
