#include "trainer/commands/number_checks.h"

#include <limits>
#include <string>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

// Read as CLI11 reads it afterwards, so that both agree on what a number is. Not a number is in no range.
template <class Number>
CLI::Validator in_range(Number least, Number most, const std::string& kind, const std::string& range) {
  const auto check = [=](std::string& text) -> std::string {
    Number value{};
    if (CLI::detail::lexical_cast(text, value) && value >= least && value <= most) return "";
    return concat("expected ", kind, " ", range, "; found ", text.empty() ? "nothing" : text);
  };
  return CLI::Validator(check, range);
}

}  // namespace

CLI::Validator at_least(int64_t least) {
  return in_range(least, std::numeric_limits<int64_t>::max(), "a whole number of", concat("at least ", least));
}

CLI::Validator whole_between(int64_t least, int64_t most) {
  return in_range(least, most, "a whole number from", concat(least, " to ", most));
}

CLI::Validator number_between(double least, double most) {
  return in_range(least, most, "a number from", concat(least, " to ", most));
}

}  // namespace rehearse
