#include "mates/image-analyzer/picture.hpp"

#include <png.h>

#include <algorithm>
#include <csetjmp>
#include <cstdio>
#include <map>

extern "C" {
#include <jpeglib.h>
}

namespace intra365::mates {
namespace {

constexpr std::uint64_t kMaxPixels = 24'000'000;

Result<Picture> decode_png(std::string_view bytes) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_memory(&image, bytes.data(), bytes.size()) == 0)
    return fail(errors::broken_picture);
  if (std::uint64_t(image.width) * image.height > kMaxPixels) {
    png_image_free(&image);
    return fail(errors::picture_too_large);
  }
  image.format = PNG_FORMAT_RGB;
  Picture picture{"png", image.width, image.height, std::vector<std::uint8_t>(PNG_IMAGE_SIZE(image))};
  const png_color background{255, 255, 255};  // what lies behind transparent pixels
  if (png_image_finish_read(&image, &background, picture.rgb.data(), 0, nullptr) == 0)
    return fail(errors::broken_picture);
  return picture;
}

struct JpegFailure {
  jpeg_error_mgr base;
  std::jmp_buf jump;
};

/// libjpeg reports by jumping out: nothing with a destructor may live between here and the jump.
bool decode_jpeg_into(std::string_view bytes, Picture& picture, bool& too_large) {
  jpeg_decompress_struct decoder;
  JpegFailure failure;
  decoder.err = jpeg_std_error(&failure.base);
  failure.base.error_exit = [](j_common_ptr common) {
    std::longjmp(reinterpret_cast<JpegFailure*>(common->err)->jump, 1);
  };
  failure.base.output_message = [](j_common_ptr) {};
  if (setjmp(failure.jump) != 0) {
    jpeg_destroy_decompress(&decoder);
    return false;
  }
  jpeg_create_decompress(&decoder);
  jpeg_mem_src(&decoder, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
  jpeg_read_header(&decoder, TRUE);
  too_large = std::uint64_t(decoder.image_width) * decoder.image_height > kMaxPixels;
  if (too_large) {
    jpeg_destroy_decompress(&decoder);
    return false;
  }
  decoder.out_color_space = JCS_RGB;
  jpeg_start_decompress(&decoder);
  picture.width = decoder.output_width;
  picture.height = decoder.output_height;
  picture.rgb.resize(std::size_t(picture.width) * picture.height * 3);
  while (decoder.output_scanline < decoder.output_height) {
    auto* row = picture.rgb.data() + std::size_t(decoder.output_scanline) * picture.width * 3;
    jpeg_read_scanlines(&decoder, &row, 1);
  }
  jpeg_finish_decompress(&decoder);
  jpeg_destroy_decompress(&decoder);
  return true;
}

std::string hex_colour(std::array<std::uint64_t, 3> sum, std::uint64_t count) {
  char text[8];
  std::snprintf(text, sizeof text, "#%02x%02x%02x", unsigned(sum[0] / count), unsigned(sum[1] / count),
                unsigned(sum[2] / count));
  return text;
}

/// Pixels whose colours differ little fall into one of 512 boxes; the fullest boxes are the dominant colours.
struct Box {
  std::array<std::uint64_t, 3> sum{};
  std::uint64_t count = 0;
};

double grey_at(const Picture& picture, std::uint32_t column, std::uint32_t columns, std::uint32_t row,
               std::uint32_t rows) {
  const auto x0 = std::uint64_t(column) * picture.width / columns,
             x1 = std::max(x0 + 1, std::uint64_t(column + 1) * picture.width / columns);
  const auto y0 = std::uint64_t(row) * picture.height / rows,
             y1 = std::max(y0 + 1, std::uint64_t(row + 1) * picture.height / rows);
  std::uint64_t sum = 0, count = 0;
  for (auto y = y0; y < std::min<std::uint64_t>(y1, picture.height); ++y) {
    for (auto x = x0; x < std::min<std::uint64_t>(x1, picture.width); ++x, ++count) {
      const auto* pixel = &picture.rgb[(y * picture.width + x) * 3];
      sum += pixel[0] * 299u + pixel[1] * 587u + pixel[2] * 114u;
    }
  }
  return count == 0 ? 0 : double(sum) / double(count);
}

}  // namespace

Result<Picture> decode_picture(std::string_view bytes) {
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return decode_png(bytes);
  if (!bytes.starts_with("\xff\xd8\xff")) return fail(errors::not_a_picture);
  Picture picture;
  picture.format = "jpeg";
  bool too_large = false;
  if (decode_jpeg_into(bytes, picture, too_large)) return picture;
  return fail(too_large ? errors::picture_too_large : errors::broken_picture);
}

Analysis analyze(const Picture& picture) {
  std::array<Box, 512> boxes{};
  Box all;
  for (std::size_t i = 0; i + 2 < picture.rgb.size(); i += 3) {
    const auto* pixel = &picture.rgb[i];
    auto& box = boxes[std::size_t(pixel[0] >> 5) << 6 | std::size_t(pixel[1] >> 5) << 3 | pixel[2] >> 5];
    for (std::size_t channel = 0; channel < 3; ++channel) {
      box.sum[channel] += pixel[channel];
      all.sum[channel] += pixel[channel];
    }
    ++box.count;
    ++all.count;
  }
  Analysis analysis{picture.format, picture.width, picture.height, {}, {}, {}};
  if (all.count == 0) return analysis;
  analysis.mean = hex_colour(all.sum, all.count);
  std::ranges::sort(boxes, std::ranges::greater{}, &Box::count);
  for (const auto& box : boxes) {
    if (box.count == 0 || analysis.dominant.size() == 5) break;
    analysis.dominant.push_back({hex_colour(box.sum, box.count), double(box.count) / double(all.count)});
  }
  std::uint64_t hash = 0;
  for (std::uint32_t row = 0; row < 8; ++row) {
    for (std::uint32_t column = 0; column < 8; ++column) {
      hash = hash << 1 |
             (grey_at(picture, column, 9, row, 8) < grey_at(picture, column + 1, 9, row, 8) ? 1u : 0u);
    }
  }
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(hash));
  analysis.perceptual_hash = text;
  return analysis;
}

Band analyze_band(const Picture& picture, std::uint32_t band, std::uint32_t of) {
  const auto first = std::uint64_t(picture.height) * (band - 1) / of,
             last = std::uint64_t(picture.height) * band / of;
  Picture rows{picture.format, picture.width, std::uint32_t(last - first), {}};
  const auto begin = picture.rgb.begin() + std::ptrdiff_t(first * picture.width * 3);
  rows.rgb.assign(begin, begin + std::ptrdiff_t((last - first) * picture.width * 3));
  auto all = analyze(rows);
  return {band, of, std::move(all.mean), std::move(all.dominant)};
}

}  // namespace intra365::mates
