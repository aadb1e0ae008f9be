#include "trainer/base/trace.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace rehearse {
namespace {

int64_t nanoseconds(double seconds) {
  return std::llround(seconds * 1e9);
}

// Begin and end are rounded, not the length: what nests in doubles nests in the file.
nlohmann::json trace_line(const TraceEvent& event, int process, int thread) {
  const int64_t begin = nanoseconds(event.start_s), end = nanoseconds(event.start_s + event.seconds);
  nlohmann::json line = {{"name", event.name},
                         {"ph", event.is_instant ? "i" : "X"},
                         {"ts", static_cast<double>(begin) / 1000},
                         {"pid", process},
                         {"tid", thread},
                         {"args", event.args.is_null() ? nlohmann::json::object() : event.args}};
  line["args"]["step"] = event.step;
  if (event.is_instant)
    line["s"] = "t";
  else
    line["dur"] = static_cast<double>(end - begin) / 1000;
  return line;
}

nlohmann::json name_line(const char* what, const std::string& name, int process, int thread) {
  return {{"name", what}, {"ph", "M"}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}};
}

}  // namespace

double monotonic_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void TraceLane::add(TraceEvent event) {
  event.step = clock_.step.load(std::memory_order_relaxed);
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
}

void TraceLane::instant(const std::string& name) {
  if (is_recording()) add({name, monotonic_s(), 0, true, 0, {}});
}

std::vector<TraceEvent> TraceLane::events(uint64_t first_step, uint64_t end_step) const {
  std::vector<TraceEvent> found;
  {
    const std::lock_guard lock(mutex_);
    for (const TraceEvent& event : events_)
      if (event.step >= first_step && event.step < end_step) found.push_back(event);
  }
  std::stable_sort(found.begin(), found.end(), [](const TraceEvent& a, const TraceEvent& b) {
    return a.start_s != b.start_s ? a.start_s < b.start_s : a.seconds > b.seconds;
  });
  return found;
}

void TraceLane::clear() {
  const std::lock_guard lock(mutex_);
  events_.clear();
}

TraceLane& Trace::lane(const std::string& name) {
  const std::lock_guard lock(mutex_);
  for (TraceLane& lane : lanes_)
    if (lane.name() == name) return lane;
  return lanes_.emplace_back(name, clock_);
}

void Trace::begin_step(uint64_t step, bool is_recorded) {
  clock_.step = step;
  clock_.is_recording = is_recorded;
}

void Trace::clear() {
  const std::lock_guard lock(mutex_);
  for (TraceLane& lane : lanes_) lane.clear();
}

nlohmann::json Trace::events(int rank, uint64_t first_step, uint64_t end_step) const {
  const std::lock_guard lock(mutex_);
  nlohmann::json all = nlohmann::json::array();
  all.push_back(name_line("process_name", "rank " + std::to_string(rank), rank, 0));
  int thread = 0;
  for (const TraceLane& lane : lanes_) {
    all.push_back(name_line("thread_name", lane.name(), rank, ++thread));
    for (const TraceEvent& event : lane.events(first_step, end_step)) all.push_back(trace_line(event, rank, thread));
  }
  return all;
}

TraceSpan::TraceSpan(TraceLane* lane, const std::string& name) : lane_(lane) {
  if (!lane_ || !lane_->is_recording()) return;
  if (lane_->ranges().begin) lane_->ranges().begin(name.c_str());
  event_ = TraceEvent{name, monotonic_s(), 0, false, 0, {}};
}

TraceSpan::~TraceSpan() {
  if (!event_) return;
  event_->seconds = monotonic_s() - event_->start_s;
  if (lane_->ranges().end) lane_->ranges().end();
  lane_->add(std::move(*event_));
}

}  // namespace rehearse
