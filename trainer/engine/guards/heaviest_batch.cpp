#include "trainer/engine/guards/heaviest_batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "trainer/device/device.h"

namespace rehearse {

MicroBatch heaviest_batch(const Dataset& dataset, const BatchPlanner::Options& options) {
  std::vector<uint32_t> order(dataset.size());
  std::iota(order.begin(), order.end(), 0u);
  std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) { return dataset.cost[a] > dataset.cost[b]; });
  const double count = std::floor(options.cost / options.micro_batches / dataset.cost[order.front()]);
  order.resize(static_cast<size_t>(std::clamp(count, 1.0, static_cast<double>(order.size()))));
  MicroBatch batch;
  for (uint32_t example : order) {
    batch.positions.push_back(static_cast<uint32_t>(batch.draws.size()));
    batch.draws.push_back({.utterance = example});
  }
  return batch;
}

double padded_cost(const Dataset& dataset, const MicroBatch& batch) {
  double largest = 0;
  for (const Draw& draw : batch.draws) largest = std::max<double>(largest, dataset.cost[draw.utterance]);
  return largest * static_cast<double>(batch.draws.size());
}

TaskOutput try_batch(const TrialParts& parts, const Batch& batch) {
  Arena& arena = parts.model.arena();
  arena.begin_update();
  TaskOutput output;
  on_device(batch, "batch.seconds, or raise batch.micro_batches", [&] {
    output = parts.model.task().forward(batch, {true, parts.options.seed, 0, batch.ids, parts.options.precision});
    if (output.loss_sum.defined() && output.loss_sum.requires_grad()) output.loss_sum.backward();
    output.collect();
  });
  arena.begin_update();  // forgets it, batch norms' statistics included
  return output;
}

}  // namespace rehearse
