#include <ATen/ATen.h>

#include <cmath>

#include "data/speech/features/spectrum.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

double mel_of(double hz) {
  return 2595.0 * std::log10(1.0 + hz / 700.0);
}
double hz_of(double mel) {
  return 700.0 * (std::pow(10.0, mel / 2595.0) - 1.0);
}

// Triangles of unit peak, evenly spaced on the HTK mel scale from 0 Hz to half the rate: [bins, channels].
at::Tensor mel_filters(const Spectrum& spectrum, int64_t channels) {
  const double nyquist = spectrum.sample_rate_hz() / 2.0;
  const auto edge = [&](int64_t i) { return hz_of(mel_of(nyquist) * static_cast<double>(i) / (channels + 1.0)); };
  at::Tensor filters = at::zeros({spectrum.num_bins(), channels}, at::kDouble);
  double* data = filters.mutable_data_ptr<double>();
  for (int64_t m = 0; m < channels; ++m) {
    const double left = edge(m), centre = edge(m + 1), right = edge(m + 2);
    for (int64_t bin = 0; bin < spectrum.num_bins(); ++bin) {
      const double hz = nyquist * static_cast<double>(bin) / static_cast<double>(spectrum.num_bins() - 1);
      const double height = std::min((hz - left) / (centre - left), (right - hz) / (right - centre));
      data[bin * channels + m] = std::max(0.0, height);
    }
  }
  return filters;
}

class LogMel : public Features {
 public:
  struct Options {
    int64_t channels = 80;
    Spectrum::Options spectrum;
    static Options from(ConfigNode& node) {
      Options options;
      options.channels = node.integer("channels", options.channels, {1, 512});
      options.spectrum = Spectrum::Options::from(node);
      return options;
    }
  };
  static constexpr const char* kExample = "{type: log_mel, channels: 40}";

  LogMel(const Options& options, const Context& context)
      : options_(options),
        spectrum_(options.spectrum, context.sample_rate_hz),
        filters_(mel_filters(spectrum_, options.channels)) {}

  int64_t channels() const override { return options_.channels; }
  int64_t num_frames(int64_t num_samples) const override { return spectrum_.num_frames(num_samples); }

  FeatureBatch compute(const at::Tensor& samples, const std::vector<int64_t>& num_samples) const override {
    const std::vector<int64_t> lengths = spectrum_.lengths(num_samples);
    const at::Tensor mel = at::matmul(spectrum_.power(samples, num_samples), filters_.like(samples));
    return {spectrum_.finish(mel.clamp_min(1e-10).log(), lengths), lengths};
  }

  nlohmann::json spec() const override {
    nlohmann::json spec = spectrum_.spec("log_mel", 1);
    spec["channels"] = options_.channels;
    return spec;
  }

 private:
  Options options_;
  Spectrum spectrum_;
  Constant filters_;  // [bins, channels]
};

REHEARSE_REGISTER(Features, "log_mel", LogMel);

}  // namespace
}  // namespace rehearse
