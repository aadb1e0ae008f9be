// What the torch tests share: noise, whole-model pieces built from YAML, finite differences.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/block.h"
#include "models/torch_prelude.h"
#include "trainer/base/registry.h"

namespace rehearse::testing_support {

// Uniform in ±1, a function of (seed, element).
inline at::Tensor noise(std::vector<int64_t> shape, uint64_t seed, at::ScalarType type = at::kDouble) {
  at::Tensor x = at::empty(shape, at::kDouble);
  double* data = x.mutable_data_ptr<double>();
  for (int64_t i = 0; i < x.numel(); ++i) data[i] = 2 * RandomKey(seed).uniform(static_cast<uint64_t>(i)) - 1;
  return x.to(type);
}

// A batch of noise with zero padding.
inline Sequence noise_batch(const std::vector<int64_t>& lengths, int64_t frames, int64_t channels, uint64_t seed,
                            at::ScalarType type) {
  at::Tensor x = noise({static_cast<int64_t>(lengths.size()), frames, channels}, seed, type);
  for (size_t b = 0; b < lengths.size(); ++b) x[static_cast<int64_t>(b)].slice(0, lengths[b]).zero_();
  return {x, lengths};
}

// A block from its YAML line, with the store that owns its parameters. Norm weights, shifts and biases are made uneven,
// so that a mistake in any of them shows.
struct BuiltBlock {
  Config config;
  ParameterStore store;
  std::unique_ptr<Block> block;

  BuiltBlock(const std::string& yaml, int64_t input_channels, at::ScalarType type, AllReduceSum all_reduce_sum = {})
      : config(Config::parse(yaml)), store(7, at::TensorOptions().dtype(type)) {
    Block::Context context{input_channels, "blocks.3", 3, &store, std::move(all_reduce_sum), config.root().where()};
    block = Registry<Block>::instance().create(config.root(), context);
    config.root().expect_all_read();
    uint64_t seed = 100;
    for (Parameter& parameter : store.parameters())
      if (!parameter.is_decayed)
        parameter.tensor.detach().add_(noise(parameter.tensor.sizes().vec(), ++seed, type), 0.3);
  }
};

inline ForwardContext training_context(std::vector<uint64_t> ids, uint64_t step = 5) {
  return {true, 11, step, ids};
}

inline double largest(const at::Tensor& x) {
  return x.numel() == 0 ? 0 : x.detach().abs().max().item<double>();
}
inline double difference(const at::Tensor& a, const at::Tensor& b) {
  return largest(a.detach() - b.detach());
}

// Checks the gradient of `loss` in each tensor against central differences along random directions (double only).
inline void expect_gradients(const std::function<at::Tensor()>& loss, const std::vector<Parameter>& tensors) {
  for (const Parameter& parameter : tensors) parameter.tensor.mutable_grad() = at::Tensor();
  loss().backward();
  uint64_t seed = 1;
  for (const Parameter& parameter : tensors) {
    const at::Tensor value = parameter.tensor.detach();
    const at::Tensor gradient = parameter.tensor.grad();
    ASSERT_TRUE(gradient.defined()) << parameter.name;
    for (int trial = 0; trial < 2; ++trial) {
      const at::Tensor direction = noise(value.sizes().vec(), 1000 + ++seed);
      const double h = 1e-6;
      value.add_(direction, h);
      const double above = loss().item<double>();
      value.add_(direction, -2 * h);
      const double below = loss().item<double>();
      value.add_(direction, h);
      const double expected = (above - below) / (2 * h);
      EXPECT_NEAR((gradient * direction).sum().item<double>(), expected, 1e-6 * (1 + std::abs(expected)))
          << parameter.name;
    }
  }
}

}  // namespace rehearse::testing_support
