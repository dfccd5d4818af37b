// Looks at a picture: what it is, its colours, and a hash that alike pictures share. Pure.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "json/json.hpp"

namespace intra365::mates {

namespace errors {
inline constexpr ErrorCode not_a_picture{ErrorKind::invalid, "image.not_a_picture",
                                         "Send the bytes of a PNG or JPEG file as the payload."};
inline constexpr ErrorCode broken_picture{ErrorKind::invalid, "image.broken",
                                          "The picture cannot be decoded."};
inline constexpr ErrorCode picture_too_large{ErrorKind::invalid, "image.too_large",
                                             "A picture has at most 24 million pixels."};
}  // namespace errors

/// Decoded pixels, 8-bit RGB, row by row.
struct Picture {
  std::string format;  ///< `png` or `jpeg`
  std::uint32_t width = 0, height = 0;
  std::vector<std::uint8_t> rgb;
};
Result<Picture> decode_picture(std::string_view bytes);

struct Colour {
  std::string colour;  ///< `#rrggbb`
  double share = 0;    ///< of all pixels, 0 to 1
};
BOOST_DESCRIBE_STRUCT(Colour, (), (colour, share))

struct Analysis {
  std::string format;
  std::uint32_t width = 0, height = 0;
  std::string mean;              ///< `#rrggbb`
  std::vector<Colour> dominant;  ///< up to five, largest share first
  std::string perceptual_hash;   ///< 64 bits as hex: difference hash of an 9 × 8 grey reduction
};
BOOST_DESCRIBE_STRUCT(Analysis, (), (format, width, height, mean, dominant, perceptual_hash))

Analysis analyze(const Picture& picture);

/// What is known of one of several bands of rows, from the top.
struct Band {
  std::uint32_t band = 0, of = 0;  ///< the first is 1
  std::string mean;                ///< `#rrggbb`
  std::vector<Colour> dominant;
};
BOOST_DESCRIBE_STRUCT(Band, (), (band, of, mean, dominant))

/// `band` counts from 1; a picture with fewer rows than bands has empty ones.
Band analyze_band(const Picture& picture, std::uint32_t band, std::uint32_t of);

}  // namespace intra365::mates
