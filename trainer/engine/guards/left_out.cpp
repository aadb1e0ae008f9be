#include "trainer/engine/guards/left_out.h"

#include <algorithm>

#include "trainer/base/error.h"
#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {
namespace {

constexpr const char* kAdvice =
    "lower optimizer.lr, set optimizer.clip_norm, raise schedule.warmup_share or, with precision float16, use bfloat16";

std::string last_good(const LeftOutRun& run) {
  if (!run.sound_step) return "there is no good checkpoint: begin anew, and ";
  return concat("the last good checkpoint is ", checkpoint_path(run.checkpoints, *run.sound_step).string(),
                " and is kept: begin from it with --init in another run.folder, and ");
}

}  // namespace

std::string left_out_message(const LeftOutRun& run) {
  const auto& found = run.found_by_rank;
  const auto first = std::find_if(found.begin(), found.end(), [](const std::string& one) { return !one.empty(); });
  std::string where = "all ranks' own gradients were finite, their sum was not";
  if (first != found.end()) where = concat("first not finite on rank ", first - found.begin(), ": ", *first);
  return concat("optimizer.max_left_out: expected fewer than ", run.at_most,
                " updates in a row that are not finite; found ", run.in_row, " up to step ", run.step, ", ", where,
                "; ", last_good(run), kAdvice);
}

std::string not_finite_message(const LeftOutRun& run, const std::string& tensor) {
  return concat("step ", run.step, ": expected finite values to save; found ", tensor, ", so nothing was written; ",
                last_good(run), kAdvice);
}

std::string nothing_learned_message(uint64_t steps, uint64_t left_out) {
  return concat("budget: expected at least one update to be applied; found none in ", steps, " steps, ", left_out,
                " of them left out because something was not finite; ", kAdvice);
}

}  // namespace rehearse
