#include "data/speech/audio/resampler.h"

#include <soxr.h>

#include <algorithm>
#include <cmath>

#include "data/speech/audio/audio_reader.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

constexpr size_t kRoom = 1 << 16;  // samples, per step

}  // namespace

struct Resampler::Filter {
  soxr_t soxr = nullptr;
  std::vector<float> room = std::vector<float>(kRoom);

  Filter(int from_hz, int to_hz) {
    const soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    const soxr_runtime_spec_t one_thread = soxr_runtime_spec(1);
    soxr_error_t failure = nullptr;
    soxr = soxr_create(from_hz, to_hz, 1, &failure, nullptr, &quality, &one_thread);
    if (soxr == nullptr) throw DataError("resample ", from_hz, " to ", to_hz, " Hz: expected success; found ", failure);
  }
  ~Filter() { soxr_delete(soxr); }
  Filter(const Filter&) = delete;
  Filter& operator=(const Filter&) = delete;
};

Resampler::Resampler(int from_hz, int to_hz) : from_hz_(from_hz), to_hz_(to_hz) {
  REHEARSE_CHECK(from_hz > 0 && to_hz > 0, "sample rates are checked where they enter: ", from_hz, ", ", to_hz);
  if (from_hz != to_hz) filter_ = std::make_unique<Filter>(from_hz, to_hz);
}

Resampler::~Resampler() = default;

void Resampler::push(std::span<const float> samples, std::vector<float>& output) {
  pushed_ += static_cast<int64_t>(samples.size());
  if (!filter_) {
    output.insert(output.end(), samples.begin(), samples.end());
    produced_ += static_cast<int64_t>(samples.size());
    return;
  }
  while (!samples.empty()) {
    size_t consumed = 0, produced = 0;
    const soxr_error_t failure =
        soxr_process(filter_->soxr, samples.data(), samples.size(), &consumed, filter_->room.data(), kRoom, &produced);
    if (failure != nullptr)
      throw DataError("resample ", from_hz_, " to ", to_hz_, " Hz: expected success; found ", failure);
    output.insert(output.end(), filter_->room.begin(), filter_->room.begin() + static_cast<ptrdiff_t>(produced));
    produced_ += static_cast<int64_t>(produced);
    samples = samples.subspan(consumed);
  }
}

// soxr may deliver a sample less or more than asked for; silence and a cut make the length a function of the rates.
void Resampler::finish(std::vector<float>& output) {
  if (!filter_ || pushed_ == 0) return;
  for (size_t produced = 1; produced > 0;) {
    const soxr_error_t failure =
        soxr_process(filter_->soxr, nullptr, 0, nullptr, filter_->room.data(), kRoom, &produced);
    if (failure != nullptr)
      throw DataError("resample ", from_hz_, " to ", to_hz_, " Hz: expected success; found ", failure);
    output.insert(output.end(), filter_->room.begin(), filter_->room.begin() + static_cast<ptrdiff_t>(produced));
    produced_ += static_cast<int64_t>(produced);
  }
  const double exact = static_cast<double>(pushed_) * to_hz_ / from_hz_;
  const int64_t wanted = std::max(1ll, std::llround(exact));
  output.resize(static_cast<size_t>(static_cast<int64_t>(output.size()) + wanted - produced_), 0.0f);
  produced_ = wanted;
}

std::vector<float> resample(const std::vector<float>& samples, int from_hz, int to_hz) {
  std::vector<float> output;
  output.reserve(static_cast<size_t>(static_cast<double>(samples.size()) * to_hz / from_hz) + 2);
  Resampler resampler(from_hz, to_hz);
  resampler.push(samples, output);
  resampler.finish(output);
  return output;
}

}  // namespace rehearse
