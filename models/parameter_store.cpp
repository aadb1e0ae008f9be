#include <cmath>

#include "models/block.h"
#include "models/torch_prelude.h"
#include "trainer/base/error.h"

namespace rehearse {

at::Tensor ParameterStore::add(const std::string& name, at::Tensor tensor, bool is_decayed) {
  for (const Parameter& parameter : parameters_)
    REHEARSE_CHECK(parameter.name != name, "parameter names are unique; ", name, " was added before");
  tensor.set_requires_grad(true);
  parameters_.push_back({name, tensor, is_decayed});
  return tensor;
}

at::Tensor ParameterStore::weight(const std::string& name, std::vector<int64_t> shape, int64_t fan_in, double gain) {
  REHEARSE_CHECK(fan_in > 0, "the bound of ", name, " divides by its fan-in");
  at::Tensor values = at::empty(shape, at::kDouble);
  const RandomKey key = RandomKey(seed_).with("weight").with(name);
  const double bound = std::sqrt(3.0 * gain / static_cast<double>(fan_in));
  double* data = values.mutable_data_ptr<double>();
  for (int64_t i = 0; i < values.numel(); ++i) data[i] = bound * (2.0 * key.uniform(static_cast<uint64_t>(i)) - 1.0);
  return add(name, values.to(options_), true);
}

at::Tensor ParameterStore::constant(const std::string& name, std::vector<int64_t> shape, double value) {
  return add(name, at::full(shape, value, options_), false);
}

Buffer ParameterStore::buffer(const std::string& name, std::vector<int64_t> shape, double value) {
  buffers_.push_back({name, at::full(shape, value, options_), at::full(shape, value, options_), {}});
  return buffers_.back();
}

Buffer ParameterStore::averaged_buffer(const std::string& name, std::vector<int64_t> shape, double value) {
  buffers_.push_back({name, at::full(shape, value, options_), {}, at::zeros(shape, options_)});
  return buffers_.back();
}

}  // namespace rehearse
