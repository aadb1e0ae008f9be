#include "data/speech/missing_audio.h"

#include <algorithm>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr double kAllowed_s = 0.1;
constexpr double kAllowedShare = 0.05;
// From here on (20 s) the share would let whole sentences go.
constexpr double kAllowedAtMost_s = 1.1;

}  // namespace

double missing_allowed_s(double stated_s) {
  return std::min(kAllowed_s + kAllowedShare * stated_s, kAllowedAtMost_s);
}

bool is_missing(double stated_s, double found_s) {
  return found_s <= 0 || stated_s - found_s > missing_allowed_s(stated_s);
}

void expect_no_missing(const std::string& path, double stated_s, double found_s) {
  if (!is_missing(stated_s, found_s)) return;
  throw DataError(path, ": expected ", stated_s, " s, as stated for it; found ", found_s,
                  " s: the file is cut off or the stated duration is wrong; fetch the file again, or leave it out");
}

}  // namespace rehearse
