// Loads planned micro-batches in the background, in plan order whatever the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>

#include "data/loader/batch.h"

namespace rehearse {

// push() and next() from one thread; the workers are private. Any number of micro-batches may be queued, but only a few
// are loaded ahead of next(). Destruction stops the workers after the example each is at; what was queued is dropped.
class Loader {
 public:
  // The content of a plan's draws, with `draws` and `positions` as planned. Called on several threads at once; a
  // function of the plan alone. Once a stop is requested it may return anything, early. An exception comes out of
  // next().
  using Load = std::function<std::unique_ptr<Batch>(const MicroBatch& plan, const std::stop_token& stop)>;
  // What `load` uses outlives the loader.
  Loader(int threads, Load load);
  ~Loader();

  // Queues one micro-batch (never blocks).
  void push(uint64_t step, int micro_batch, const MicroBatch& plan);
  // The oldest queued micro-batch; blocks until it is ready. REQUIRES: one is queued.
  std::unique_ptr<Batch> next();

 private:
  struct Workers;
  std::unique_ptr<Workers> workers_;
};

}  // namespace rehearse
