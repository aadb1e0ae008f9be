// What the threads of a process do when, for a picture of a few steps (Chrome's Trace Event Format).
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace rehearse {

// Seconds of the machine's monotonic clock: processes of one host agree on it.
double monotonic_s();

struct TraceEvent {
  std::string name;
  double start_s = 0;
  double seconds = 0;
  bool is_instant = false;
  uint64_t step = 0;    // set by the lane
  nlohmann::json args;  // an object, or null
};

// Told of every recorded span's begin and end on its own thread, such as NVTX; null: nobody.
struct TraceRanges {
  void (*begin)(const char* name) = nullptr;
  void (*end)() = nullptr;
};

// One row of the picture: the spans of one thread. Methods may be called from any thread.
class TraceLane {
 public:
  struct Clock {
    std::atomic<bool> is_recording = false;
    std::atomic<uint64_t> step = 0;
    TraceRanges ranges;
  };
  // `clock` outlives the lane.
  TraceLane(std::string name, const Clock& clock) : name_(std::move(name)), clock_(clock) {}

  const std::string& name() const { return name_; }
  bool is_recording() const { return clock_.is_recording.load(std::memory_order_relaxed); }
  const TraceRanges& ranges() const { return clock_.ranges; }
  void add(TraceEvent event);             // as part of the step that is being done
  void instant(const std::string& name);  // now; nothing when not recording
  std::vector<TraceEvent> events(uint64_t first_step, uint64_t end_step) const;  // by start; the longer of two first
  void clear();

 private:
  std::string name_;
  const Clock& clock_;
  mutable std::mutex mutex_;
  std::vector<TraceEvent> events_;
};

// Handed to whoever has something to show; a null pointer turns everything off. Methods may be called from any thread.
class Trace {
 public:
  explicit Trace(TraceRanges ranges = {}) { clock_.ranges = ranges; }
  // The row of that name, made at the first call; lives as long as the trace.
  TraceLane& lane(const std::string& name);
  // From here on events belong to this step, and are kept if it is recorded.
  void begin_step(uint64_t step, bool is_recorded);
  void clear();
  // The list `traceEvents` of these steps; the process is the rank.
  nlohmann::json events(int rank, uint64_t first_step, uint64_t end_step) const;

 private:
  TraceLane::Clock clock_;
  mutable std::mutex mutex_;
  std::list<TraceLane> lanes_;
};

// Draws its own life. Spans of one lane nest.
class TraceSpan {
 public:
  TraceSpan(TraceLane* lane, const std::string& name);  // no lane: does nothing
  ~TraceSpan();
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;
  template <class Value>
  void note(const char* key, const Value& value) {
    if (event_) event_->args[key] = value;
  }

 private:
  TraceLane* lane_;
  std::optional<TraceEvent> event_;
};

}  // namespace rehearse
