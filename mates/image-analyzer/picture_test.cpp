#include "mates/image-analyzer/picture.hpp"

#include <gtest/gtest.h>
#include <png.h>

#include <bit>
#include <fstream>
#include <sstream>

namespace intra365::mates {
namespace {

std::string harbour() {
  std::ifstream file(INTRA365_SOURCE_DIR "/mates/pictures/harbour.png", std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

/// A PNG of one colour but for its left half.
std::string two_colours(std::uint32_t width, std::uint32_t height) {
  std::vector<std::uint8_t> rgb;
  for (std::uint32_t i = 0; i < width * height; ++i) {
    const bool left = i % width < width / 2;
    rgb.insert(rgb.end(), {std::uint8_t(left ? 255 : 0), 0, std::uint8_t(left ? 0 : 255)});
  }
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = 0;
  png_image_write_to_memory(&image, nullptr, &size, 0, rgb.data(), 0, nullptr);
  std::string bytes(size, '\0');
  png_image_write_to_memory(&image, bytes.data(), &size, 0, rgb.data(), 0, nullptr);
  return bytes;
}

TEST(Picture, half_red_half_blue_is_told_exactly) {
  const auto picture = decode_picture(two_colours(16, 8));
  ASSERT_TRUE(picture);
  const auto analysis = analyze(*picture);
  EXPECT_EQ(analysis.format, "png");
  EXPECT_EQ(analysis.width, 16u);
  EXPECT_EQ(analysis.height, 8u);
  EXPECT_EQ(analysis.mean, "#7f007f");
  ASSERT_EQ(analysis.dominant.size(), 2u);
  EXPECT_DOUBLE_EQ(analysis.dominant[0].share, 0.5);
}

TEST(Picture, the_sample_picture_is_what_the_conversation_expects) {
  const auto picture = decode_picture(harbour());
  ASSERT_TRUE(picture);
  const auto analysis = analyze(*picture);
  EXPECT_EQ(analysis.width, 320u);
  EXPECT_EQ(analysis.height, 200u);
  EXPECT_EQ(analysis.dominant.size(), 5u);
  EXPECT_EQ(analysis.perceptual_hash.size(), 16u);
}

TEST(Picture, bands_cover_every_row_once) {
  const auto picture = decode_picture(harbour());
  ASSERT_TRUE(picture);
  EXPECT_EQ(analyze_band(*picture, 1, 1).mean, analyze(*picture).mean);
  EXPECT_NE(analyze_band(*picture, 1, 2).mean, analyze_band(*picture, 2, 2).mean);
  const auto flat = decode_picture(two_colours(16, 3));  // fewer rows than bands
  ASSERT_TRUE(flat);
  int filled = 0;
  for (std::uint32_t band = 1; band <= 16; ++band)
    filled += analyze_band(*flat, band, 16).mean.empty() ? 0 : 1;
  EXPECT_EQ(filled, 3);
}

TEST(Picture, alike_pictures_have_near_hashes) {
  const auto hash = [](std::uint32_t width, std::uint32_t height) {
    return std::stoull(analyze(*decode_picture(two_colours(width, height))).perceptual_hash, nullptr, 16);
  };
  EXPECT_LE(std::popcount(hash(64, 32) ^ hash(128, 64)), 4);
}

TEST(Picture, other_bytes_are_refused_with_a_code) {
  EXPECT_EQ(decode_picture("hello").error().code, "image.not_a_picture");
  EXPECT_EQ(decode_picture(harbour().substr(0, 300)).error().code, "image.broken");
  EXPECT_EQ(decode_picture("\xff\xd8\xff\xe0 broken").error().code, "image.broken");
}

}  // namespace
}  // namespace intra365::mates
