// The one rule for audio that ends before somebody said it would.
#pragma once

#include <string>

namespace rehearse {

// Codecs round, and manifests are written by many tools: so much may be missing of stated_s.
double missing_allowed_s(double stated_s);
bool is_missing(double stated_s, double found_s);

// DataError naming the file when more is missing.
void expect_no_missing(const std::string& path, double stated_s, double found_s);

}  // namespace rehearse
