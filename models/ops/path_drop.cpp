#include "models/ops/path_drop.h"

#include "models/ops/device_ops.h"

namespace rehearse {

double drop_path_from(ConfigNode& node) {
  return node.number("drop_path", 0, {0, 0.9});
}

at::Tensor path_factors(const at::Tensor& x, double rate, const ForwardContext& context, uint64_t block_index,
                        uint64_t site) {
  if (!context.is_training || rate == 0) return {};
  const RandomKey run = RandomKey(context.seed).with("drop_path").with(context.step);
  std::vector<double> factors;
  for (uint64_t id : context.ids) {
    const bool is_left_out = run.with(id).with(block_index).with(site).uniform(0) < rate;
    factors.push_back(is_left_out ? 0 : 1 / (1 - rate));
  }
  return to_device_of(x, at::tensor(at::ArrayRef<double>(factors), at::TensorOptions(x.scalar_type())));
}

at::Tensor path_drop(const at::Tensor& x, double rate, const ForwardContext& context, uint64_t block_index,
                     uint64_t site) {
  const at::Tensor factors = path_factors(x, rate, context, block_index, site);
  return factors.defined() ? x * factors.view({-1, 1, 1}) : x;
}

}  // namespace rehearse
