#include "trainer/engine/guards/bad_files.h"

#include <cmath>

#include "trainer/base/error.h"
#include "trainer/observe/progress.h"

namespace rehearse {
namespace {
constexpr uint8_t kDrawn = 1, kBad = 2, kBadSaid = 4, kRecoverySaid = 8;
}

BadFiles::BadFiles(const Dataset& dataset, double max_share)
    : dataset_(dataset), max_share_(max_share), counts_(dataset.domains.size()), seen_(dataset.size(), 0) {
  for (const uint32_t domain : dataset.domain) ++counts_[domain].all;
}

BadFiles::Changes BadFiles::observe(std::span<const Observation> observations) {
  Changes changes;
  std::vector<uint32_t> newly_bad;
  for (const Observation& one : observations) {
    const uint32_t utterance = one.draw.utterance;
    uint8_t& seen = seen_[utterance];
    Count& count = counts_[dataset_.domain[utterance]];
    if ((seen & kDrawn) == 0) ++count.drawn;
    seen |= kDrawn;
    const bool was_bad = (seen & kBad) != 0;
    if (one.is_bad_file == was_bad || (was_bad && one.is_infeasible)) continue;
    seen ^= kBad;
    const uint8_t said = was_bad ? kRecoverySaid : kBadSaid;
    if ((seen & said) == 0) (was_bad ? changes.recovered : changes.bad).push_back(utterance);
    seen |= said;
    was_bad ? --count.bad : ++count.bad;
    if (!was_bad) newly_bad.push_back(utterance);
  }
  for (const uint32_t utterance : newly_bad) expect_few(counts_[dataset_.domain[utterance]], utterance);
  return changes;
}

void BadFiles::expect_few(const Count& count, uint32_t utterance) const {
  const auto all = static_cast<double>(count.all), drawn = static_cast<double>(count.drawn),
             bad = static_cast<double>(count.bad);
  const double surely = max_share_ * drawn + 3 * std::sqrt(max_share_ * (1 - max_share_) * drawn);
  if (bad <= max_share_ * all && bad <= surely) return;
  throw DataError("domain \"", dataset_.domains[dataset_.domain[utterance]], "\": expected at most ",
                  format_percent(max_share_), " unusable files; found ", count.bad, " among the ", count.drawn,
                  " drawn so far, e.g. \"", dataset_.name_of(utterance),
                  "\"; list them with `rehearse doctor`, or raise data.max_rejected_share");
}

}  // namespace rehearse
