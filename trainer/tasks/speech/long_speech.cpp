#include "trainer/tasks/speech/long_speech.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "data/speech/speech_batch.h"
#include "trainer/device/device.h"

namespace rehearse {
namespace {

constexpr int kRateHz = SpeechTask::kSampleRateHz;

Sequence heard(SpeechTask& task, std::span<const float> samples) {
  SpeechBatch batch;
  batch.sample_rate_hz = kRateHz;
  batch.samples.assign(samples.begin(), samples.end());
  batch.max_samples = static_cast<int64_t>(batch.samples.size());
  batch.num_samples = {batch.max_samples};
  batch.ids = {0};
  batch.draws.resize(1);
  batch.positions = {0};
  batch.tokens.resize(1);
  batch.weights = {0};
  batch.failures.resize(1);
  ForwardContext context;
  context.ids = batch.ids;
  Sequence logits;
  on_device(batch, "--window", [&] { logits = task.logits(batch, context); });
  return {logits.x.cpu().contiguous(), logits.lengths};
}

Logits window_logits(SpeechTask& task, std::span<const float> samples) {
  const Sequence sequence = heard(task, samples);  // [1, T', V]
  Logits logits{sequence.lengths.at(0), sequence.x.size(2), {}};
  const float* rows = sequence.x.const_data_ptr<float>();
  logits.values.assign(rows, rows + logits.frames * logits.classes);
  return logits;
}

}  // namespace

Logits logits_of(SpeechTask& task, std::span<const float> samples, const WindowOptions& options) {
  const double duration_s = static_cast<double>(samples.size()) / kRateHz;
  if (duration_s <= options.window_s) return window_logits(task, samples);
  const double frame_s = task.seconds_per_frame();
  const auto frames_of = [frame_s](double seconds) { return std::max<int64_t>(1, std::llround(seconds / frame_s)); };
  const auto sample_at = [frame_s, &samples](int64_t frame) {
    return std::min(samples.size(), static_cast<size_t>(std::llround(static_cast<double>(frame) * frame_s * kRateHz)));
  };
  const int64_t context = frames_of(options.context_s);
  const int64_t window = std::max(frames_of(options.window_s), 2 * context + 1);
  const auto num_frames = static_cast<int64_t>(std::ceil(duration_s / frame_s));
  const int32_t blank = task.tokenizer().size();  // behind the last token
  Logits whole;
  for (const Window& one : plan_windows(num_frames, window, context)) {
    const size_t begin = sample_at(one.first_frame), end = sample_at(one.first_frame + one.length);
    const Logits next = window_logits(task, samples.subspan(begin, end - begin));
    whole.values.reserve(static_cast<size_t>((num_frames + window) * next.classes));  // once: growing doubles it
    append_window(whole, next, one.first_frame, blank);
  }
  return whole;
}

}  // namespace rehearse
