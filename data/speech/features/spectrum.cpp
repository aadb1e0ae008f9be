#include "data/speech/features/spectrum.h"

#include <ATen/ATen.h>

#include <cmath>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

// [B, T, 1], one where position < limit.
at::Tensor mask_of(const at::Tensor& x, int64_t size, const std::vector<int64_t>& limits) {
  const at::Tensor positions = at::arange(size, x.options().dtype(at::kLong)).view({1, -1, 1});
  const at::Tensor host = at::tensor(at::IntArrayRef(limits), at::kLong);
  // Through pinned memory a device does not have to be waited for.
  const at::Tensor bounds = x.is_cpu() ? host : host.pin_memory().to(x.device(), /*non_blocking=*/true);
  return positions.lt(bounds.view({-1, 1, 1})).to(x.scalar_type());
}

}  // namespace

Spectrum::Options Spectrum::Options::from(ConfigNode& node) {
  Options options;
  options.hop_ms = node.number("hop_ms", options.hop_ms, {1, 1000});
  options.window_ms = node.number("window_ms", options.window_ms, {1, 1000});
  options.normalizes = node.choice("normalize", "utterance", {"utterance", "none"}) == "utterance";
  return options;
}

Spectrum::Spectrum(const Options& options, int sample_rate_hz)
    : options_(options),
      sample_rate_hz_(sample_rate_hz),
      hop_(std::lround(options.hop_ms * sample_rate_hz / 1000)),
      window_(std::lround(options.window_ms * sample_rate_hz / 2000) * 2),
      fft_size_(2) {
  while (fft_size_ < window_) fft_size_ *= 2;
  hann_ = Constant(at::hann_window(window_, /*periodic=*/true, at::TensorOptions().dtype(at::kDouble)));
}

std::vector<int64_t> Spectrum::lengths(const std::vector<int64_t>& num_samples) const {
  std::vector<int64_t> frames;
  frames.reserve(num_samples.size());
  for (int64_t samples : num_samples) frames.push_back(num_frames(samples));
  return frames;
}

at::Tensor Spectrum::power(const at::Tensor& samples, const std::vector<int64_t>& num_samples) const {
  REHEARSE_CHECK(samples.dim() == 2 && samples.size(0) == static_cast<int64_t>(num_samples.size()),
                 "samples are [B, N] with one length per row; found ", samples.sizes());
  const at::Tensor real = samples * mask_of(samples, samples.size(1), num_samples).squeeze(2);
  const at::Tensor padded = at::constant_pad_nd(real, {window_ / 2, window_ / 2});
  const at::Tensor frames = padded.unfold(1, window_, hop_) * hann_.like(samples);  // [B, T, window]
  return at::view_as_real(at::fft_rfft(frames, fft_size_)).square().sum(-1);
}

at::Tensor Spectrum::finish(const at::Tensor& x, const std::vector<int64_t>& lengths) const {
  const at::Tensor mask = mask_of(x, x.size(1), lengths);
  if (!options_.normalizes) return x * mask;
  const at::Tensor count = mask.sum(1, true);
  const at::Tensor centred = (x - (x * mask).sum(1, true) / count) * mask;
  return centred / ((centred.square().sum(1, true) / count).sqrt() + 1e-5);
}

nlohmann::json Spectrum::spec(const std::string& type, int version) const {
  return {{"type", type},
          {"version", version},
          {"sample_rate_hz", sample_rate_hz_},
          {"hop_ms", options_.hop_ms},
          {"window_ms", options_.window_ms},
          {"fft_size", fft_size_},
          {"normalize", options_.normalizes ? "utterance" : "none"}};
}

}  // namespace rehearse
