#include "backup/sealed_file.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "backup/errors.hpp"
#include "tests/support/process.hpp"

namespace intra365::backup {
namespace {

struct SealedFile : ::testing::Test {
  testing::TempDir temp;
  crypto::Envelope envelope{std::string(32, 'k')};
  fs::path path = temp.path() / "file";

  std::string raw() const {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  void put(const std::string& content) const { std::ofstream(path, std::ios::binary) << content; }
  void write(std::initializer_list<std::string_view> frames, bool finish) const {
    auto writer = SealedWriter::create(envelope, "name", path).value();
    for (const auto frame : frames) ASSERT_TRUE(writer.append(frame));
    ASSERT_TRUE(finish ? writer.finish() : writer.sync());
  }
  /// Everything that can be read, and whether the file has an end; or the error's code.
  std::string read(const std::string& context = "name") const {
    auto reader = SealedReader::open(envelope, context, path);
    if (!reader) return reader.error().code;
    std::string text;
    for (;;) {
      const auto frame = reader->next();
      if (!frame) return frame.error().code;
      if (!*frame) return text + (reader->finished() ? "." : "…");
      text += **frame + "|";
    }
  }
};

TEST_F(SealedFile, what_was_written_is_read_and_nothing_of_it_is_legible) {
  write({"first secret", "second"}, true);
  EXPECT_EQ(read(), "first secret|second|.");
  EXPECT_EQ(raw().find("secret"), std::string::npos);
  EXPECT_EQ(fs::status(path).permissions(), fs::perms(0600));
}

TEST_F(SealedFile, a_frame_larger_than_the_limit_is_split) {
  const std::string large(max_frame_bytes + 5, 'x');
  write({large}, true);
  EXPECT_EQ(read().size(), large.size() + 3);
}

TEST_F(SealedFile, a_changed_byte_is_damage_wherever_it_is) {
  write({"one", "two"}, true);
  const auto whole = raw();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    auto changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    put(changed);
    const auto text = read();
    EXPECT_TRUE(text == "backup.damaged" || text.ends_with("…")) << at << ": " << text;
  }
}

TEST_F(SealedFile, frames_cannot_be_left_out_repeated_or_taken_from_another_file) {
  write({"one", "two"}, true);
  const auto whole = raw();
  const std::size_t frame = 4 + 41 + 3;
  put(whole.substr(frame));
  EXPECT_EQ(read(), "backup.damaged");
  put(whole.substr(0, frame) + whole);
  EXPECT_EQ(read(), "backup.damaged");
  put(whole);
  EXPECT_EQ(read("other name"), "backup.damaged");
}

TEST_F(SealedFile, a_cut_file_has_no_end) {
  write({"one", "two"}, true);
  const auto whole = raw();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    put(whole.substr(0, size));
    EXPECT_TRUE(read().ends_with("…")) << size;
  }
  EXPECT_EQ(read_sealed(envelope, "name", path).error().code, "backup.damaged");
}

TEST_F(SealedFile, writing_goes_on_behind_the_last_whole_frame) {
  write({"one", "two"}, false);
  auto torn = raw();
  put(torn.substr(0, torn.size() - 1));
  {
    auto writer = SealedWriter::resume(envelope, "name", path).value();
    EXPECT_EQ(writer.plain_bytes(), 3u);
    ASSERT_TRUE(writer.append("three"));
    ASSERT_TRUE(writer.finish());
  }
  EXPECT_EQ(read(), "one|three|.");
  EXPECT_EQ(SealedWriter::resume(envelope, "name", path).error().code, "backup.damaged");
}

TEST_F(SealedFile, another_key_opens_nothing) {
  write({"one"}, true);
  const crypto::Envelope other(std::string(32, 'o'));
  EXPECT_EQ(read_sealed(other, "name", path).error().code, "backup.damaged");
}

TEST_F(SealedFile, a_small_file_is_replaced_as_a_whole) {
  ASSERT_TRUE(write_sealed(envelope, "name", path, "old"));
  ASSERT_TRUE(write_sealed(envelope, "name", path, ""));
  EXPECT_EQ(read_sealed(envelope, "name", path).value(), "");
  EXPECT_EQ(read_sealed(envelope, "name", temp.path() / "none").error().code, "backup.damaged");
}

}  // namespace
}  // namespace intra365::backup
