#include "trainer/engine/heaviest_batch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "data/loader/loader.h"
#include "trainer/device/device.h"

namespace rehearse {

MicroBatch heaviest_batch(const Corpus& corpus, const BatchPlanner::Options& options) {
  std::vector<uint32_t> order(corpus.items().size());
  std::iota(order.begin(), order.end(), 0u);
  const auto duration_s = [&](uint32_t i) { return corpus.items()[i].utterance.duration_s; };
  std::ranges::stable_sort(order, [&](uint32_t a, uint32_t b) { return duration_s(a) > duration_s(b); });
  const double count = std::floor(options.seconds / options.micro_batches / duration_s(order.front()));
  order.resize(static_cast<size_t>(std::clamp(count, 1.0, static_cast<double>(order.size()))));
  MicroBatch batch;
  for (uint32_t utterance : order) {
    batch.positions.push_back(static_cast<uint32_t>(batch.draws.size()));
    batch.draws.push_back({.utterance = utterance});
  }
  return batch;
}

double padded_seconds(const Corpus& corpus, const MicroBatch& batch) {
  double longest_s = 0;
  for (const Draw& draw : batch.draws)
    longest_s = std::max(longest_s, corpus.items()[draw.utterance].utterance.duration_s);
  return longest_s * static_cast<double>(batch.draws.size());
}

LoadedBatch load_batch(const TrialParts& parts, const MicroBatch& batch) {
  Loader::Options loading = parts.options.loader;
  loading.sample_rate_hz = Recognizer::kSampleRateHz;
  loading.threads = 1;
  loading.cache_bytes = 0;
  Loader loader(loading, parts.corpus, parts.readers, parts.augmentations, parts.options.seed);
  loader.push(0, 0, batch);
  return loader.next();
}

TaskOutput try_batch(const TrialParts& parts, const LoadedBatch& batch) {
  Arena& arena = parts.recognizer.arena();
  arena.begin_update();
  TaskOutput output;
  on_device(batch, "batch.seconds, or raise batch.micro_batches", [&] {
    output = parts.recognizer.task().forward(batch, {true, parts.options.seed, 0, batch.ids, parts.options.precision});
    if (output.loss_sum.defined() && output.loss_sum.requires_grad()) output.loss_sum.backward();
    output.collect();
  });
  arena.begin_update();  // forgets it, batch norms' statistics included
  return output;
}

}  // namespace rehearse
