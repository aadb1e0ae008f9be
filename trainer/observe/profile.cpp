#include "trainer/observe/profile.h"

#include <algorithm>
#include <cmath>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr const char* kWait = "communication wait";

bool is_gradient_sum(const TraceEvent& event) {
  return event.args.contains("what") && event.args["what"].get<std::string>().starts_with("all_reduce (bucket");
}

double common_s(const TraceEvent& a, const TraceEvent& b) {
  return std::max(0.0, std::min(a.start_s + a.seconds, b.start_s + b.seconds) - std::max(a.start_s, b.start_s));
}

std::string hidden_text(const Overlap& overlap) {
  if (overlap.hidden_share() < 0) return "one rank, nothing to reduce";
  return concat(std::lround(100 * overlap.hidden_share()), " % of the ", std::lround(1000 * overlap.collectives_s),
                " ms of gradient all-reduces were hidden behind backward, ", std::lround(1000 * overlap.waited_s),
                " ms were waited for");
}

}  // namespace

Overlap overlap_of(const std::vector<TraceEvent>& training, const std::vector<TraceEvent>& communication) {
  Overlap overlap;
  for (const TraceEvent& collective : communication) {
    if (!is_gradient_sum(collective)) continue;
    overlap.collectives_s += collective.seconds;
    for (const TraceEvent& phase : training)
      if (phase.step == collective.step && phase.name == kWait) overlap.waited_s += common_s(collective, phase);
  }
  return overlap;
}

std::string Profile::begin_step(uint64_t step) {
  if (is_written_) return "";
  if (!has_begun_) first_step_ = step;
  has_begun_ = true;
  step_ = step;
  const uint64_t index = step - first_step_, late = first_step_ + kSkippedSteps;
  if (index == kSkippedSteps + options_.num_steps) return write(late, step);
  trace_.begin_step(step, index < options_.num_steps || index >= kSkippedSteps);
  return "";
}

std::string Profile::finish() {
  if (is_written_ || !has_begun_) return "";
  const uint64_t done = step_ + 1 - first_step_;
  const bool is_long = done >= kSkippedSteps + options_.num_steps;
  const uint64_t first = first_step_ + (is_long ? kSkippedSteps : 0);
  return write(first, std::min(first + options_.num_steps, step_ + 1));
}

std::string Profile::write(uint64_t first, uint64_t end) {
  trace_.begin_step(step_, false);
  is_written_ = true;
  const Overlap overlap = overlap_of(lane_.events(first, end), trace_.lane("communication").events(first, end));
  nlohmann::json other = {{"rank", options_.rank},
                          {"ranks", options_.size},
                          {"first_step", first},
                          {"steps", end - first},
                          {"gradient_all_reduce_s", overlap.collectives_s},
                          {"gradient_all_reduce_waited_s", overlap.waited_s}};
  other["hidden_share"] = overlap.hidden_share() < 0 ? nlohmann::json() : nlohmann::json(overlap.hidden_share());
  const nlohmann::json all = {
      {"traceEvents", trace_.events(options_.rank, first, end)}, {"displayTimeUnit", "ms"}, {"otherData", other}};
  trace_.clear();
  const fs::path folder = options_.run_folder / "profile";
  fs::create_directories(folder);
  FileLayer files;
  const fs::path path = folder / concat("rank-", options_.rank, ".json");
  replace_text(files, path, all.dump());
  return concat("profile of steps ", first, " to ", end - 1, " in ", path.string(),
                " (a file per rank; open it in ui.perfetto.dev or chrome://tracing): ", hidden_text(overlap));
}

PhaseTimer::PhaseTimer(TraceLane* lane, const char* name, double& seconds)
    : lane_(lane && lane->is_recording() ? lane : nullptr), name_(name), seconds_(&seconds), start_s_(monotonic_s()) {
  if (lane_ && lane_->ranges().begin) lane_->ranges().begin(name);
}

PhaseTimer::~PhaseTimer() {
  add(monotonic_s());
  if (lane_ && lane_->ranges().end) lane_->ranges().end();
}

void PhaseTimer::add(double end_s) {
  *seconds_ += end_s - start_s_;
  if (lane_) lane_->add({name_, start_s_, end_s - start_s_, false, 0, {}});
}

void PhaseTimer::split(const char* name, double& seconds, double last_s) {
  const double middle = std::max(start_s_, monotonic_s() - last_s);
  add(middle);
  name_ = name;
  seconds_ = &seconds;
  start_s_ += middle - start_s_;  // to the last bit where the file says that the first part ends
}

}  // namespace rehearse
