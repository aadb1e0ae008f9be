// Faster or slower with the pitch, as a tape would be: N samples become round(N / speed).
#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/speech/augment/augmentation.h"
#include "trainer/base/registry.h"

namespace rehearse {

namespace {

// Keeps the change of length within 15 %.
constexpr Range<double> kAllowed = {0.87, 1.17};

// Half of a Kaiser-windowed sinc, sampled finely enough for linear interpolation between entries.
class WindowedSinc {
 public:
  static constexpr int kZeroCrossings = 16;

  WindowedSinc() : table_(kZeroCrossings * kPerCrossing + 2, 0.0f) {
    constexpr double kBeta = 8.0;  // stop band near -80 dB
    for (int i = 0; i <= kZeroCrossings * kPerCrossing; ++i) {
      const double x = static_cast<double>(i) / kPerCrossing, y = x / kZeroCrossings;
      const double sinc = i == 0 ? 1.0 : std::sin(std::numbers::pi * x) / (std::numbers::pi * x);
      const double window =
          std::cyl_bessel_i(0.0, kBeta * std::sqrt(std::max(0.0, 1 - y * y))) / std::cyl_bessel_i(0.0, kBeta);
      table_[static_cast<size_t>(i)] = static_cast<float>(sinc * window);
    }
  }

  // At distance 0 ≤ x ≤ kZeroCrossings, in zero crossings.
  float at(double x) const {
    const double position = x * kPerCrossing;
    const auto index = static_cast<size_t>(position);
    const auto fraction = static_cast<float>(position - static_cast<double>(index));
    return table_[index] + fraction * (table_[index + 1] - table_[index]);
  }

 private:
  static constexpr int kPerCrossing = 256;
  std::vector<float> table_;
};

// Band-limited interpolation (J. O. Smith, "Digital Audio Resampling"): the cut-off is the lower of the two Nyquist
// rates.
std::vector<float> at_speed(const std::vector<float>& samples, double speed, const WindowedSinc& sinc) {
  const double cutoff = std::min(1.0, 1.0 / speed);
  const double reach = WindowedSinc::kZeroCrossings / cutoff;
  const auto length = static_cast<int64_t>(samples.size());
  const auto new_length = std::max<int64_t>(1, std::llround(static_cast<double>(length) / speed));
  std::vector<float> result(static_cast<size_t>(new_length));
  for (int64_t i = 0; i < new_length; ++i) {
    const double centre = static_cast<double>(i) * speed;
    const auto first = std::max<int64_t>(0, static_cast<int64_t>(std::ceil(centre - reach)));
    const auto last = std::min<int64_t>(length - 1, static_cast<int64_t>(std::floor(centre + reach)));
    double sum = 0;
    for (int64_t j = first; j <= last; ++j)
      sum += static_cast<double>(samples[static_cast<size_t>(j)]) *
             static_cast<double>(sinc.at(std::abs(centre - static_cast<double>(j)) * cutoff));
    result[static_cast<size_t>(i)] = static_cast<float>(sum * cutoff);
  }
  return result;
}

class Speed final : public Augmentation {
 public:
  struct Options {
    double min = 0.9;
    double max = 1.1;
    double share = 1;  // probability that an utterance is changed
    static Options from(ConfigNode& node) {
      Options options;
      options.min = node.number("min", options.min, kAllowed);
      options.max = node.number("max", options.max, kAllowed);
      options.share = node.number("share", options.share, {0, 1});
      if (options.min > options.max)
        node.fail("min", concat("expected at most max (", options.max, "); found ", options.min));
      return options;
    }
  };
  static constexpr const char* kExample = "{type: speed, min: 0.9, max: 1.1, share: 0.5}";

  Speed(const Options& options, const Context&) : options_(options) {}

  void apply(std::vector<float>& samples, const RandomKey& key) const override {
    if (samples.empty() || key.uniform(0) >= options_.share) return;
    samples = at_speed(samples, options_.min + (options_.max - options_.min) * key.uniform(1), sinc_);
  }

 private:
  Options options_;
  WindowedSinc sinc_;
};

REHEARSE_REGISTER(Augmentation, "speed", Speed);

}  // namespace

}  // namespace rehearse
