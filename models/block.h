// A block of the acoustic model: [B, T, C] in, [B, T', C'] out, padding zero on both sides.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "models/precision.h"
#include "trainer/base/config/config.h"
#include "trainer/base/random.h"

namespace rehearse {

// A trainable tensor with the name it has in checkpoints ("blocks.3.depthwise.weight").
struct Parameter {
  std::string name;
  at::Tensor tensor;       // leaf, requires_grad
  bool is_decayed = true;  // false for biases and norms
};

// Non-trained state that travels with the model (running statistics). Forward passes write into `next` or `sum` alone:
// an update that is left out leaves no trace. One of the two is defined, in the tensor's shape.
struct Buffer {
  std::string name;
  at::Tensor tensor;
  // What the tensor becomes with the update: it begins as a copy, and each micro-batch moves it.
  at::Tensor next;
  // Of a buffer that moves once an update: its blocks add what each micro-batch measured, and the update takes the mean
  // over the micro-batches of all ranks.
  at::Tensor sum;
};

// Creates and collects the tensors of a model. Initial values are a function of (seed, name, element index) alone, so
// every rank and every world size starts from the same weights.
class ParameterStore {
 public:
  ParameterStore(uint64_t seed, at::TensorOptions options) : seed_(seed), options_(options) {}
  // Uniform in ±sqrt(3 · gain / fan_in) (variance gain / fan_in; gain 2 = He).
  at::Tensor weight(const std::string& name, std::vector<int64_t> shape, int64_t fan_in, double gain = 1.0);
  at::Tensor constant(const std::string& name, std::vector<int64_t> shape, double value);  // not decayed
  // One with `next`, and one with `sum`.
  Buffer buffer(const std::string& name, std::vector<int64_t> shape, double value);
  Buffer averaged_buffer(const std::string& name, std::vector<int64_t> shape, double value);

  std::vector<Parameter>& parameters() { return parameters_; }
  std::vector<Buffer>& buffers() { return buffers_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<Buffer>& buffers() const { return buffers_; }

 private:
  at::Tensor add(const std::string& name, at::Tensor tensor, bool is_decayed);
  uint64_t seed_;
  at::TensorOptions options_;
  std::vector<Parameter> parameters_;
  std::vector<Buffer> buffers_;
};

// By how much one update moves a running statistic towards what it measured, as torch has it.
constexpr double kBufferMomentum = 0.1;

// A batch between blocks. lengths: valid frames per utterance on the host; frames at or beyond are zero in x.
struct Sequence {
  at::Tensor x;                  // [B, T, C]
  std::vector<int64_t> lengths;  // [B]
};

class RoundedWeights;

// What a forward pass needs to know besides its input.
struct ForwardContext {
  bool is_training = false;
  uint64_t seed = 0;
  uint64_t step = 0;
  std::vector<uint64_t> ids;  // [B] stable utterance ids, for counter-based dropout
  Precision precision = Precision::kFull;
  RoundedWeights* rounded_weights = nullptr;  // of this update; null: weights are rounded at every product
};

// Sums a small tensor over all ranks, in place; differentiable use is up to the block. Called in the same order
// everywhere.
using AllReduceSum = std::function<void(at::Tensor&)>;

// Plug-in: one file in models/blocks, see models/README.md. Constructed once, then forward() from one thread.
class Block {
 public:
  struct Context {
    int64_t input_channels = 0;
    std::string name;                 // prefix of its parameter names: "blocks.3"
    uint64_t index = 0;               // for dropout keys
    ParameterStore* store = nullptr;  // outlives the block
    AllReduceSum all_reduce_sum;      // empty in a world of one
    std::string where;                // "file:line: model.blocks[3]", for messages
  };
  virtual ~Block() = default;
  virtual Sequence forward(const Sequence& input, const ForwardContext& context) = 0;
  virtual int64_t output_length(int64_t length) const = 0;  // exact
  virtual int64_t output_channels() const = 0;
  virtual int64_t stride() const { return 1; }
};

}  // namespace rehearse
