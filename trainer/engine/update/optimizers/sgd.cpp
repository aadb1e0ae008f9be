#include "trainer/base/error.h"
#include "trainer/base/registry.h"
#include "trainer/base/simd_clones.h"
#include "trainer/engine/update/optimizer.h"
#include "trainer/engine/update/optimizers/sgd_device.h"
#include "trainer/engine/update/state_buffer.h"

namespace rehearse {
namespace {

struct Coefficients {
  float momentum, lr, decay, gradient_scale;
  bool is_nesterov;
};

REHEARSE_SIMD_CLONES void update_segment(float* __restrict parameter, const float* __restrict gradient,
                                         float* __restrict velocity, size_t count, const Coefficients& c) {
  for (size_t i = 0; i < count; ++i) {
    const float g = gradient[i] * c.gradient_scale + c.decay * parameter[i];
    velocity[i] = c.momentum * velocity[i] + g;
    parameter[i] -= c.lr * (c.is_nesterov ? g + c.momentum * velocity[i] : velocity[i]);
  }
}

// SGD with (Nesterov) momentum and L2 decay, as torch.optim.SGD defines it with dampening 0.
class Sgd : public Optimizer {
 public:
  static constexpr const char* kExample = "{type: sgd, lr: 0.1, momentum: 0.9}";
  struct Options {
    double momentum, weight_decay;
    bool is_nesterov;
    static Options from(ConfigNode& node) {
      return {node.number("momentum", 0.9, {0, 0.9999}), node.number("weight_decay", 0.01, {0, 10}),
              node.boolean("nesterov", false)};
    }
  };

  Sgd(const Options& options, const Context& context)
      : options_(options), device_(context.device), velocity_(context.num_elements, context.device) {}

  void step(std::span<float> parameters, std::span<const float> gradients, const std::vector<Segment>& segments,
            double lr, double gradient_scale, uint64_t) override {
    std::vector<DeviceSgdSegment> on_device;
    for (const Segment& segment : segments) {
      if (segment.is_frozen) continue;
      const Coefficients c{static_cast<float>(options_.momentum), static_cast<float>(lr * segment.lr_scale),
                           static_cast<float>(segment.is_decayed ? options_.weight_decay : 0),
                           static_cast<float>(gradient_scale), options_.is_nesterov};
      if (device_) {
        on_device.push_back(
            {static_cast<int64_t>(segment.offset), static_cast<int64_t>(segment.length), c.lr, c.decay});
        continue;
      }
      update_segment(parameters.data() + segment.offset, gradients.data() + segment.offset,
                     velocity_.data() + segment.offset, segment.length, c);
    }
    if (on_device.empty()) return;
    REHEARSE_CHECK(device_, "segments of a device have its kernels");
    device_->get<SgdOnDevice>()(
        parameters.data(), gradients.data(), velocity_.data(), on_device.data(), static_cast<int64_t>(on_device.size()),
        {static_cast<float>(options_.momentum), static_cast<float>(gradient_scale), options_.is_nesterov},
        device_->get<CurrentStreamOnDevice>()());
  }

  std::vector<std::pair<std::string, std::span<float>>> state() override { return {{"momentum", velocity_.on_host()}}; }
  void state_written() override { velocity_.take_from_host(); }
  void state_read() override { velocity_.release_host(); }

 private:
  Options options_;
  const DeviceTable* device_;
  StateBuffer velocity_;
};

REHEARSE_REGISTER(Optimizer, "sgd", Sgd);

}  // namespace
}  // namespace rehearse
