#include <ATen/ATen.h>

#include "data/speech/features/spectrum.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

// Log magnitude of every bin.
class Stft : public Features {
 public:
  struct Options {
    Spectrum::Options spectrum;
    static Options from(ConfigNode& node) { return {Spectrum::Options::from(node)}; }
  };
  static constexpr const char* kExample = "{type: stft, normalize: none}";

  Stft(const Options& options, const Context& context) : spectrum_(options.spectrum, context.sample_rate_hz) {}

  int64_t channels() const override { return spectrum_.num_bins(); }
  int64_t num_frames(int64_t num_samples) const override { return spectrum_.num_frames(num_samples); }

  FeatureBatch compute(const at::Tensor& samples, const std::vector<int64_t>& num_samples) const override {
    const std::vector<int64_t> lengths = spectrum_.lengths(num_samples);
    // log(max(|X|, 1e-5)) without the square root.
    const at::Tensor log_magnitude = spectrum_.power(samples, num_samples).clamp_min(1e-10).log() * 0.5;
    return {spectrum_.finish(log_magnitude, lengths), lengths};
  }

  nlohmann::json spec() const override { return spectrum_.spec("stft", 1); }

 private:
  Spectrum spectrum_;
};

REHEARSE_REGISTER(Features, "stft", Stft);

}  // namespace
}  // namespace rehearse
