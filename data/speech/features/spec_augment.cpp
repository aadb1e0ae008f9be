#include "data/speech/features/spec_augment.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "trainer/base/error.h"
#include "trainer/base/random.h"

namespace rehearse {
// Width uniform in 0 … widest, then the place uniform.
SpecAugment::Span SpecAugment::draw_span(const RandomKey& key, uint64_t mask, int64_t widest, int64_t size) {
  const auto width = static_cast<int64_t>(key.below(static_cast<uint64_t>(std::min(widest, size)) + 1, 2 * mask));
  const auto begin = static_cast<int64_t>(key.below(static_cast<uint64_t>(size - width) + 1, 2 * mask + 1));
  return {begin, begin + width};
}

SpecAugment::Options SpecAugment::Options::from(ConfigNode& node) {
  Options options;
  options.time_masks = node.integer("time_masks", options.time_masks, {0, 100});
  options.time_share = node.number("time_share", options.time_share, {0, 1});
  options.frequency_masks = node.integer("frequency_masks", options.frequency_masks, {0, 100});
  options.frequency_width = node.integer("frequency_width", options.frequency_width, {0, 4096});
  return options;
}

std::vector<SpecAugment::Masks> SpecAugment::draw(const FeatureBatch& batch, uint64_t seed, uint64_t step,
                                                  const std::vector<uint64_t>& ids) const {
  REHEARSE_CHECK(ids.size() == batch.lengths.size(), "masks are keyed by utterance id: one per utterance");
  const RandomKey run = RandomKey(seed).with("spec_augment").with(step);
  std::vector<Masks> all(ids.size());
  for (size_t b = 0; b < ids.size(); ++b) {
    const int64_t frames = batch.lengths[b];
    const RandomKey time = run.with(ids[b]).with("time");
    const RandomKey frequency = run.with(ids[b]).with("frequency");
    const auto widest = static_cast<int64_t>(options_.time_share * static_cast<double>(frames));
    for (int64_t i = 0; i < options_.time_masks; ++i)
      all[b].times.push_back(draw_span(time, static_cast<uint64_t>(i), widest, frames));
    for (int64_t i = 0; i < options_.frequency_masks; ++i)
      all[b].channels.push_back(
          draw_span(frequency, static_cast<uint64_t>(i), options_.frequency_width, batch.x.size(2)));
  }
  return all;
}

SpecAugment::MaskTensors SpecAugment::masks(const FeatureBatch& batch, uint64_t seed, uint64_t step,
                                            const std::vector<uint64_t>& ids) const {
  const std::vector<Masks> all = draw(batch, seed, step, ids);
  MaskTensors tensors{at::zeros({batch.x.size(0), batch.x.size(1), 1}, at::kBool),
                      at::zeros({batch.x.size(0), 1, batch.x.size(2)}, at::kBool)};
  bool* times = tensors.times.mutable_data_ptr<bool>();
  bool* channels = tensors.channels.mutable_data_ptr<bool>();
  for (const Masks& masks : all) {
    for (const Span& span : masks.times) std::fill(times + span.begin, times + span.end, true);
    for (const Span& span : masks.channels) std::fill(channels + span.begin, channels + span.end, true);
    times += batch.x.size(1);
    channels += batch.x.size(2);
  }
  return tensors;
}

void SpecAugment::apply(FeatureBatch& batch, uint64_t seed, uint64_t step, const std::vector<uint64_t>& ids) const {
  if (options_.time_masks == 0 && options_.frequency_masks == 0) return;
  if (!batch.x.is_cpu()) {  // which would launch a kernel for every mask: two for all of them
    const MaskTensors tensors = masks(batch, seed, step, ids);
    for (const at::Tensor& mask : {tensors.times, tensors.channels})
      batch.x.masked_fill_(mask.pin_memory().to(batch.x.device(), /*non_blocking=*/true), 0);
    return;
  }
  const std::vector<Masks> all = draw(batch, seed, step, ids);
  const int64_t frames = batch.x.size(1), channels = batch.x.size(2);
  float* x = batch.x.mutable_data_ptr<float>();  // [T, F] of an utterance
  for (size_t b = 0; b < all.size(); ++b, x += frames * channels) {
    for (const Span& span : all[b].times) std::fill(x + span.begin * channels, x + span.end * channels, 0.0f);
    for (const Span& span : all[b].channels)
      for (int64_t t = 0; t < batch.lengths[b]; ++t)
        std::fill(x + t * channels + span.begin, x + t * channels + span.end, 0.0f);
  }
}

}  // namespace rehearse
