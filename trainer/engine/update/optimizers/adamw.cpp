#include <cmath>

#include "trainer/base/error.h"
#include "trainer/base/registry.h"
#include "trainer/base/simd_clones.h"
#include "trainer/engine/update/optimizer.h"
#include "trainer/engine/update/optimizers/adamw_device.h"
#include "trainer/engine/update/state_buffer.h"

namespace rehearse {
namespace {

struct Coefficients {
  float beta1, beta2, eps, step_size, inverse_root_correction2, decay_factor, gradient_scale;
};

REHEARSE_SIMD_CLONES void update_segment(float* __restrict parameter, const float* __restrict gradient,
                                         float* __restrict average, float* __restrict square, size_t count,
                                         const Coefficients& c) {
  for (size_t i = 0; i < count; ++i) {
    const float g = gradient[i] * c.gradient_scale;
    average[i] = c.beta1 * average[i] + (1 - c.beta1) * g;
    square[i] = c.beta2 * square[i] + (1 - c.beta2) * g * g;
    const float denominator = std::sqrt(square[i]) * c.inverse_root_correction2 + c.eps;
    parameter[i] = parameter[i] * c.decay_factor - c.step_size * average[i] / denominator;
  }
}

// AdamW: Loshchilov and Hutter 2019, algorithm 2 (decoupled decay), with bias correction as in Kingma and Ba 2015.
class AdamW : public Optimizer {
 public:
  static constexpr const char* kExample = "{type: adamw, lr: 0.001}";
  struct Options {
    double beta1, beta2, eps, weight_decay;
    static Options from(ConfigNode& node) {
      return {node.number("beta1", 0.9, {0, 0.9999}), node.number("beta2", 0.98, {0, 0.99999}),
              node.number("eps", 1e-8, {1e-16, 1}), node.number("weight_decay", 0.01, {0, 10})};
    }
  };

  AdamW(const Options& options, const Context& context)
      : options_(options),
        device_(context.device),
        average_(context.num_elements, context.device),
        square_(context.num_elements, context.device) {}

  void step(std::span<float> parameters, std::span<const float> gradients, const std::vector<Segment>& segments,
            double lr, double gradient_scale, uint64_t update_index) override {
    std::vector<DeviceAdamWSegment> on_device;
    Coefficients c{};
    const double correction1 = 1 - std::pow(options_.beta1, static_cast<double>(update_index));
    const double correction2 = 1 - std::pow(options_.beta2, static_cast<double>(update_index));
    for (const Segment& segment : segments) {
      if (segment.is_frozen) continue;
      const double rate = lr * segment.lr_scale;
      c.beta1 = static_cast<float>(options_.beta1);
      c.beta2 = static_cast<float>(options_.beta2);
      c.eps = static_cast<float>(options_.eps);
      c.step_size = static_cast<float>(rate / correction1);
      c.inverse_root_correction2 = static_cast<float>(1 / std::sqrt(correction2));
      c.decay_factor = static_cast<float>(segment.is_decayed ? 1 - rate * options_.weight_decay : 1);
      c.gradient_scale = static_cast<float>(gradient_scale);
      if (device_) {
        on_device.push_back(
            {static_cast<int64_t>(segment.offset), static_cast<int64_t>(segment.length), c.step_size, c.decay_factor});
        continue;
      }
      update_segment(parameters.data() + segment.offset, gradients.data() + segment.offset,
                     average_.data() + segment.offset, square_.data() + segment.offset, segment.length, c);
    }
    if (on_device.empty()) return;
    REHEARSE_CHECK(device_, "segments of a device have its kernels");
    device_->get<AdamWOnDevice>()(parameters.data(), gradients.data(), average_.data(), square_.data(),
                                  on_device.data(), static_cast<int64_t>(on_device.size()),
                                  {c.beta1, c.beta2, c.eps, c.inverse_root_correction2, c.gradient_scale},
                                  device_->get<CurrentStreamOnDevice>()());
  }

  std::vector<std::pair<std::string, std::span<float>>> state() override {
    return {{"exp_avg", average_.on_host()}, {"exp_avg_sq", square_.on_host()}};
  }
  void state_written() override {
    average_.take_from_host();
    square_.take_from_host();
  }
  void state_read() override {
    average_.release_host();
    square_.release_host();
  }

 private:
  Options options_;
  const DeviceTable* device_;
  StateBuffer average_;
  StateBuffer square_;
};

REHEARSE_REGISTER(Optimizer, "adamw", AdamW);

}  // namespace
}  // namespace rehearse
