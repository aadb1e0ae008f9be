#include "models/norm.h"
#include "models/ops/mixed_ops.h"
#include "models/ops/recurrence.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

Cell cell_from(ConfigNode& node) {
  const std::string cell = node.choice("cell", "gru", {"gru", "lstm", "rnn"});
  if (cell == "gru") return Cell::kGru;
  if (cell == "lstm") return Cell::kLstm;
  return node.choice("activation", "tanh", {"tanh", "clipped_relu"}) == "tanh" ? Cell::kTanh : Cell::kClippedRelu;
}

// Recurrent layers, each with a norm of what its input gives to the gates (Deep Speech 2: Amodei et al., 2015, section
// 3.2), in one direction or both, then a row convolution over the frames to come (section 3.3).
class RecurrentBlock : public Block {
 public:
  struct Options {
    Cell cell = Cell::kGru;
    int64_t layers = 1;
    int64_t units = 256;
    bool is_bidirectional = true;
    bool sums_directions = false;
    int64_t lookahead = 0;
    NormOptions norm;
    double dropout = 0;

    static Options from(ConfigNode& node) {
      Options options;
      options.cell = cell_from(node);
      options.layers = node.integer("layers", options.layers, {1, 64});
      options.units = node.integer("units", options.units, {1, 1 << 16});
      options.is_bidirectional = node.boolean("bidirectional", options.is_bidirectional);
      if (options.is_bidirectional)
        options.sums_directions = node.choice("merge", "concat", {"concat", "sum"}) == "sum";
      options.lookahead = node.integer("lookahead", options.lookahead, {0, 127});
      options.norm = NormOptions::from(node);
      options.dropout = dropout_from(node, options.dropout);
      return options;
    }
  };
  static constexpr const char* kExample =
      "{type: recurrent, layers: 2, units: 10, merge: sum, lookahead: 2, dropout: 0.2}";

  RecurrentBlock(const Options& options, const Context& context) : options_(options), index_(context.index) {
    int64_t channels = context.input_channels;
    for (int64_t l = 0; l < options.layers; ++l) {
      Layer layer;
      for (const char* direction : {"forward", "backward"}) {
        if (!options.is_bidirectional && !layer.empty()) break;
        layer.push_back(direction_of(context, concat(context.name, ".layers.", l, ".", direction, "."), channels));
      }
      layers_.push_back(std::move(layer));
      channels = output_channels();
    }
    if (options.lookahead > 0)
      lookahead_ = context.store->weight(context.name + ".lookahead.weight", {options.lookahead + 1, channels},
                                         options.lookahead + 1);
  }

  Sequence forward(const Sequence& input, const ForwardContext& context) override {
    at::Tensor x = input.x;
    for (size_t l = 0; l < layers_.size(); ++l) {
      std::vector<at::Tensor> states;
      for (size_t d = 0; d < layers_[l].size(); ++d)
        states.push_back(states_of(layers_[l][d], x, input.lengths, context, /*is_backward=*/d == 1));
      const at::Tensor merged = states.size() == 1         ? states[0]
                                : options_.sums_directions ? states[0] + states[1]
                                                           : at::cat(states, 2);
      x = fused_gate(merged, {}, {}, input.lengths,
                     Epilogue::of(Activation::kNone, options_.dropout, context, index_, l));
    }
    if (lookahead_.defined()) x = depthwise_conv(x, taps_to_come(), input.lengths, 1, 1);
    return {x, input.lengths};
  }
  int64_t output_length(int64_t length) const override { return length; }
  int64_t output_channels() const override {
    return options_.is_bidirectional && !options_.sums_directions ? 2 * options_.units : options_.units;
  }

 private:
  struct Direction {
    at::Tensor weight;  // [G · H, I]
    at::Tensor bias;    // [G · H]
    std::unique_ptr<Norm> norm;
    RecurrentWeights recurrent;
  };
  using Layer = std::vector<Direction>;

  // Spread of PyTorch's cells for the state's weights; an LSTM begins by remembering (Jozefowicz et al., 2015).
  Direction direction_of(const Context& context, const std::string& name, int64_t channels) const {
    ParameterStore& store = *context.store;
    const int64_t units = options_.units, width = num_gates(options_.cell) * units;
    Direction one;
    one.weight = store.weight(name + "input.weight", {width, channels}, channels);
    one.bias = store.constant(name + "input.bias", {width}, 0);
    one.norm = Norm::create(options_.norm, context, name + "norm", width);
    one.recurrent.weight = store.weight(name + "recurrent.weight", {width, units}, units, 1.0 / 3);
    one.recurrent.bias = store.constant(name + "recurrent.bias", {width}, 0);
    if (options_.cell == Cell::kLstm) one.recurrent.bias.detach().slice(0, units, 2 * units).fill_(1);
    return one;
  }

  at::Tensor states_of(const Direction& one, const at::Tensor& x, const std::vector<int64_t>& lengths,
                       const ForwardContext& context, bool is_backward) const {
    const at::Tensor products = mixed_linear(context, x, one.weight, {});
    const at::Tensor gates = one.norm->forward(products, one.bias, lengths, context, {});
    return recurrence(context, options_.cell, gates, one.recurrent, lengths, is_backward);
  }

  // Centred taps whose first half is zero: frame t sees t … t + lookahead.
  at::Tensor taps_to_come() const {
    return at::cat({at::zeros({options_.lookahead, lookahead_.size(1)}, lookahead_.options()), lookahead_}, 0);
  }

  Options options_;
  uint64_t index_;
  std::vector<Layer> layers_;
  at::Tensor lookahead_;  // [lookahead + 1, C]
};

REHEARSE_REGISTER(Block, "recurrent", RecurrentBlock);

}  // namespace
}  // namespace rehearse
