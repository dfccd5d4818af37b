// How a request says that its sender has opted out (headers::opt_out). Whoever takes a browser's request
// writes it, and each enforcement point on the way reads it: only that knows what the data are used for in
// the end.
#pragma once
#include <span>
#include <string>

#include "base/ids.hpp"

namespace intra365::consent {

/// The purposes that the law lets people opt out of, by commas; `*` where that would be too long for a
/// header.
std::string opt_out_text(std::span<const Purpose> purposes);
/// Does it forbid this purpose? It does where one of them covers it, or is covered by it.
bool opts_out(std::string_view text, const Purpose& purpose);

}  // namespace intra365::consent
