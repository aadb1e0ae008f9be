// Writes checkpoints beside the training thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "trainer/checkpoint/checkpoint.h"

namespace rehearse {

// save() copies what it is given and returns; a thread of its own packs, hashes, writes, moves `best` and rotates. One
// checkpoint is in flight at most: another save waits for it. A write that failed is raised by the next call of any
// method. All methods are for one thread, the training thread.
class CheckpointWriter {
 public:
  struct Options {
    fs::path folder;  // the run's checkpoints; nobody else writes there
    int64_t keep_last = 2;
    int64_t keep_every_steps = 0;
  };
  struct Order {
    bool is_best = false;
    std::chrono::steady_clock::time_point asked = std::chrono::steady_clock::now();  // when the stall began
    std::optional<uint64_t> kept_step;  // that rotation leaves in place in any case
  };
  struct Saved {
    fs::path path;
    uint64_t step = 0;
    double stall_s = 0;    // of the training thread, from Order::asked on
    double written_s = 0;  // of the writer's thread, until all is on disk
  };

  // Makes the folder and removes what a crash left half-written there. `files` outlives the writer.
  CheckpointWriter(const Options& options, FileLayer& files);
  // Waits for what is in flight.
  ~CheckpointWriter() = default;
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // The tensors' values may change as soon as this returns. CommError, before anything is copied, when the disk has no
  // room.
  void save(CheckpointContents contents, const Order& order);
  // True as soon as nothing is in flight, false after `seconds`.
  bool wait_for(double seconds);
  // What has come to the disk since the last call.
  std::vector<Saved> take_saved();
  // What could not be removed since the last call, each once; it is tried again at every save.
  std::vector<std::string> take_warnings();

 private:
  struct Job {
    CheckpointContents contents;  // tensors lie in buffer_
    Order order;
    double stall_s = 0;
  };
  void wait();
  void raise_failure(std::unique_lock<std::mutex>& lock);
  void copy_tensors(CheckpointContents& contents);
  Saved write(const Job& job);
  void warn(const std::vector<std::string>& refused);
  void work(const std::stop_token& stop);

  Options options_;
  FileLayer& files_;
  std::unique_ptr<float[]> buffer_;  // kept between saves
  size_t capacity_ = 0;              // of buffer_, in elements
  std::mutex mutex_;                 // of what follows
  std::condition_variable_any changed_;
  std::optional<Job> job_;  // in flight; while it is there its content belongs to the writer's thread
  std::vector<Saved> saved_;
  std::vector<std::string> warnings_;
  std::set<std::string> warned_;  // at any time
  std::exception_ptr failure_;
  std::jthread thread_;  // last: the first to end
};

}  // namespace rehearse
