// Short-time spectra and per-utterance normalisation: what the front-ends share.
#pragma once

#include <vector>

#include "data/speech/features/constant.h"
#include "data/speech/features/features.h"

namespace rehearse {

// Frame t covers samples [t·hop − window/2, t·hop + window/2), zeros outside the utterance; periodic Hann window; FFT
// of the smallest power of two that holds the window.
class Spectrum {
 public:
  struct Options {
    double hop_ms = 10;
    double window_ms = 25;
    bool normalizes = true;  // features.normalize: utterance
    static Options from(ConfigNode& node);
  };
  Spectrum(const Options& options, int sample_rate_hz);

  int64_t num_frames(int64_t num_samples) const { return num_samples / hop_ + 1; }
  int64_t num_bins() const { return fft_size_ / 2 + 1; }
  int64_t fft_size() const { return fft_size_; }
  int sample_rate_hz() const { return sample_rate_hz_; }
  std::vector<int64_t> lengths(const std::vector<int64_t>& num_samples) const;

  // [B, T, bins] squared magnitudes; frames beyond an utterance are those of silence.
  at::Tensor power(const at::Tensor& samples, const std::vector<int64_t>& num_samples) const;
  // Subtracts the mean over real frames and divides by (population deviation + 1e-5), per channel, when asked for by
  // the options; zeroes the padding in any case.
  at::Tensor finish(const at::Tensor& x, const std::vector<int64_t>& lengths) const;
  nlohmann::json spec(const std::string& type, int version) const;

 private:
  Options options_;
  int sample_rate_hz_;
  int64_t hop_;
  int64_t window_;
  int64_t fft_size_;
  Constant hann_;  // [window]
};

}  // namespace rehearse
