// From samples to feature frames, batched on the device. A front-end's spec and hash travel in checkpoints.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "trainer/base/config/config.h"

namespace rehearse {

// x [B, T, F], zero at and beyond lengths.
struct FeatureBatch {
  at::Tensor x;
  std::vector<int64_t> lengths;  // [B] real frames
};

// Plug-in ("log_mel", "stft"). Stateless once built; compute() may be called from several threads.
class Features {
 public:
  struct Context {
    int sample_rate_hz = 16000;
  };
  virtual ~Features() = default;
  virtual int64_t channels() const = 0;
  virtual int64_t num_frames(int64_t num_samples) const = 0;  // exact
  // samples [B, N] float or double in [-1, 1]; what lies at or beyond num_samples[b] is ignored. An utterance's
  // features do not depend on its batch mates (to the rounding of the device's sums).
  virtual FeatureBatch compute(const at::Tensor& samples, const std::vector<int64_t>& num_samples) const = 0;
  // Everything that changes the numbers: type, version, rate, sizes, normalisation.
  virtual nlohmann::json spec() const = 0;

  std::string hash() const;  // of spec(), 16 hexadecimal digits
};

// Builds the front-end of the map `features` (its `type` key, default log_mel).
std::unique_ptr<Features> build_features(ConfigNode node, const Features::Context& context);

}  // namespace rehearse
