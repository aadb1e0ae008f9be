// MPI on one communication thread, watched by the watchdog.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "trainer/comm/communicator.h"
#include "trainer/comm/mpi_exchange.h"
#include "trainer/comm/watchdog.h"
#include "trainer/comm/world.h"

namespace rehearse {

class TraceLane;

// One collective at a time, each from its first message to its last.
class MpiCommunicator : public Communicator {
 public:
  MpiCommunicator(int rank, int size, bool is_one_host, const CommOptions& options);
  ~MpiCommunicator() override;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::future<void> all_reduce_sum(std::span<float> values, const std::string& what) override;
  std::future<void> all_reduce_sum(std::span<double> values, const std::string& what) override;
  std::future<void> all_reduce_sum(std::span<Bfloat16> values, const std::string& what) override;
  std::future<void> reduce_slices(std::span<float> values, std::vector<size_t> bounds,
                                  const std::string& what) override;
  std::future<void> reduce_slices(std::span<Bfloat16> values, std::vector<size_t> bounds,
                                  const std::string& what) override;
  std::future<void> all_gather_slices(std::span<float> values, std::vector<size_t> bounds,
                                      const std::string& what) override;
  std::future<std::vector<std::vector<std::byte>>> all_gather(std::vector<std::byte> bytes,
                                                              const std::string& what) override;
  void broadcast(std::span<std::byte> bytes, int root, const std::string& what) override;
  void barrier(const std::string& what) override;
  void set_step(uint64_t step) override { watchdog_.set_step(step); }
  void set_saving(bool is_saving) override { watchdog_.set_saving(is_saving); }
  void announce_failure(const std::string& reason) override { watchdog_.announce_failure(reason); }
  void finish() override;
  double busy_seconds() const override { return busy_seconds_.load(); }
  Traffic traffic() const override;

  // For a communicator with another transport beside MPI: `work` takes its turn on the communication thread. `bytes`
  // are those of this rank. What work only starts, `is_done` watches: it is asked on the same thread, before the next
  // operation and while there is none, and until it says true this rank counts as inside the collective.
  std::future<void> enqueue(const std::string& what, size_t bytes, std::function<void()> work,
                            std::function<bool()> is_done = {});
  // On the communication thread only.
  template <class T>
  void reduce_now(std::span<T> values, const std::string& what);
  template <class T>
  void reduce_slices_now(std::span<T> values, const std::vector<size_t>& bounds, const std::string& what);
  void gather_now(std::span<float> values, std::vector<size_t> bounds, const std::string& what);

 private:
  bool shares_network();
  struct Operation {
    std::string what;
    std::function<void()> run;
    std::function<bool()> is_done;  // empty: when it has run
  };
  // After the first failure the ranks no longer agree on what comes next: whatever is queued fails with the same error.
  template <class Result>
  Result run_unless_failed(const std::function<Result()>& work);
  template <class Result>
  std::future<Result> submit(const std::string& what, size_t bytes, std::function<Result()> work,
                             std::function<bool()> is_done = {});
  template <class T>
  std::future<void> submit_sum(std::span<T> values, const std::string& what);
  template <class T>
  std::future<void> submit_slices(std::span<T> values, const std::vector<size_t>& bounds, const std::string& what);
  void expect_slices(const std::vector<size_t>& bounds, size_t count) const;
  void work(std::stop_token stop);
  std::optional<Operation> next_operation(const std::stop_token& stop);
  bool is_background_done();
  void add_busy_seconds(std::chrono::steady_clock::time_point start);
  std::vector<std::vector<std::byte>> gather_all(const std::vector<std::byte>& bytes);
  void note_traffic();
  void check(int code, const std::string& what) const;

  int rank_;
  int size_;
  TraceLane* lane_;  // null: nobody looks
  MpiExchange exchange_;
  Watchdog watchdog_;
  mutable std::mutex mutex_;
  Traffic traffic_;
  std::condition_variable_any arrived_;
  std::deque<Operation> queue_;
  std::exception_ptr failure_;                // the communication thread's
  std::function<bool()> is_background_done_;  // of the operation that ran last; empty: nothing goes on
  std::atomic<double> busy_seconds_ = 0;
  std::jthread thread_;
};

}  // namespace rehearse
