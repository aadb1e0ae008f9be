#include "data/loader/loader.h"

#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "trainer/base/error.h"

namespace rehearse {

namespace {

// Loaded micro-batches that wait for next(), at most: bounds memory, not throughput.
constexpr size_t kMostAhead = 16;

// One micro-batch on its way. The worker that took it alone touches `result` until `is_ready`, which the mutex guards.
struct Work {
  uint64_t step = 0;
  int micro_batch = 0;
  MicroBatch plan;
  std::unique_ptr<Batch> result;
  std::exception_ptr bug;
  bool is_ready = false;
};

}  // namespace

struct Loader::Workers {
  Workers(int num_threads, Load load) : load(std::move(load)) {
    for (int i = 0; i < num_threads; ++i) threads.emplace_back([this](std::stop_token stop) { run(stop); });
  }

  ~Workers() {
    for (std::jthread& thread : threads) thread.request_stop();
  }

  void run(const std::stop_token& stop) {
    while (Work* work = take(stop)) {
      try {
        const auto start = std::chrono::steady_clock::now();
        work->result = load(work->plan, stop);
        work->result->step = work->step;
        work->result->micro_batch = work->micro_batch;
        work->result->load_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      } catch (...) {  // not a bad file: next() hands it to the caller
        work->bug = std::current_exception();
      }
      {
        const std::lock_guard lock(mutex);
        work->is_ready = true;
      }
      became_ready.notify_one();
    }
  }

  // The oldest work nobody has begun, within the bound; null: stop.
  Work* take(const std::stop_token& stop) {
    std::unique_lock lock(mutex);
    const auto may_begin = [this] { return num_begun < queue.size() && num_begun < kMostAhead; };
    if (!may_take.wait(lock, stop, may_begin) || stop.stop_requested()) return nullptr;
    return queue[num_begun++].get();
  }

  const Load load;
  std::mutex mutex;  // guards queue, num_begun and Work::is_ready
  std::condition_variable_any may_take;
  std::condition_variable became_ready;
  std::deque<std::unique_ptr<Work>> queue;  // in push order; the first num_begun were taken by workers
  size_t num_begun = 0;
  std::vector<std::jthread> threads;  // last: joined before anything they use is destroyed
};

Loader::Loader(int threads, Load load) : workers_(std::make_unique<Workers>(threads, std::move(load))) {}

Loader::~Loader() = default;

void Loader::push(uint64_t step, int micro_batch, const MicroBatch& plan) {
  auto work = std::make_unique<Work>();
  work->step = step;
  work->micro_batch = micro_batch;
  work->plan = plan;
  {
    const std::lock_guard lock(workers_->mutex);
    workers_->queue.push_back(std::move(work));
  }
  workers_->may_take.notify_one();
}

std::unique_ptr<Batch> Loader::next() {
  std::unique_ptr<Work> work;
  {
    std::unique_lock lock(workers_->mutex);
    REHEARSE_CHECK(!workers_->queue.empty(), "every next() follows its push()");
    workers_->became_ready.wait(lock, [this] { return workers_->queue.front()->is_ready; });
    work = std::move(workers_->queue.front());
    workers_->queue.pop_front();
    --workers_->num_begun;
  }
  workers_->may_take.notify_one();
  if (work->bug) std::rethrow_exception(work->bug);
  return std::move(work->result);
}

}  // namespace rehearse
