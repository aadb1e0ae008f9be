// The MPI world of this process: started once in main, ended by its destructor.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>

#include "trainer/comm/communicator.h"

namespace rehearse {

class Trace;

// Facts about the launch; without mpirun a world of one.
class World {
 public:
  // Sets what must be set before MPI_Init where the user has not (yielding progress, no copies between processes where
  // they are refused), then starts MPI.
  World();
  // Ends MPI when finish() was called; otherwise leaves at once, since peers may be stuck.
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  int local_rank() const { return local_rank_; }  // among the ranks of this host
  int local_size() const { return local_size_; }
  void finish() { is_finished_ = true; }

  int fair_threads() const { return fair_threads_; }  // see cpu_share.h
  std::string library_version() const;

 private:
  int rank_ = 0, size_ = 1, local_rank_ = 0, local_size_ = 1;
  int fair_threads_ = 1;
  bool has_mpi_ = false;
  bool is_finished_ = false;
};

struct CommOptions {
  double timeout_s = 300;
  double term_grace_s = 3;
  bool may_share_device = false;  // comm.share_device
  const std::atomic<bool>* stop_requested = nullptr;
  std::function<void(const std::string&)> on_failure;  // ends the process; see Watchdog
  Trace* trace = nullptr;                              // shows every collective; null: none
};

// launch/run.sh says how soon mpirun misses a lost host, which has to be before ranks miss each other: ConfigError.
void expect_time_to_miss_hosts(const World& world, const CommOptions& options);

// MPI in a world of several ranks, else the communicator of one.
std::unique_ptr<Communicator> make_communicator(const World& world, const CommOptions& options);

}  // namespace rehearse
