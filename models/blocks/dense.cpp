#include "models/norm.h"
#include "models/ops/mixed_ops.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

// A fully connected layer on every group of successive frames.
class DenseBlock : public Block {
 public:
  struct Options {
    int64_t units = 100;
    int64_t frames = 1;
    LayerEnd end;

    static Options from(ConfigNode& node) {
      Options options;
      options.units = node.integer("units", options.units, {1, 1 << 16});
      options.frames = node.integer("frames", options.frames, {1, 1 << 16});
      options.end = LayerEnd::from(node);
      return options;
    }
  };
  static constexpr const char* kExample = "{type: dense, units: 10, frames: 3, dropout: 0.2}";

  DenseBlock(const Options& options, const Context& context)
      : options_(options), index_(context.index), inputs_(context.input_channels) {
    const int64_t fan_in = options.frames * inputs_;
    const std::string name = context.name + ".";
    weight_ = context.store->weight(name + "dense.weight", {options.units, fan_in}, fan_in, 2);
    bias_ = context.store->constant(name + "dense.bias", {options.units}, 0);
    norm_ = Norm::create(options.end.norm, context, name + "norm", options.units);
  }

  Sequence forward(const Sequence& input, const ForwardContext& context) override {
    expect_shape(input.x, {-1, -1, inputs_}, "dense: x [B, T, C]");
    const int64_t batch = input.x.size(0), groups = output_length(input.x.size(1));
    const at::Tensor vectors =
        input.x.slice(1, 0, groups * options_.frames).reshape({batch, groups, options_.frames * inputs_});
    std::vector<int64_t> lengths;
    for (int64_t length : input.lengths) lengths.push_back(output_length(length));
    const Epilogue epilogue = options_.end.epilogue(context, index_, 0);
    // Its bias is added inside the norm's pass.
    const at::Tensor y = mixed_linear(context, vectors, weight_, {});
    return {norm_->forward(y, bias_, lengths, context, epilogue), lengths};
  }
  int64_t output_length(int64_t length) const override { return length / options_.frames; }
  int64_t output_channels() const override { return options_.units; }
  int64_t stride() const override { return options_.frames; }

 private:
  Options options_;
  uint64_t index_;
  int64_t inputs_;
  at::Tensor weight_;  // [U, frames · C]
  at::Tensor bias_;    // [U]
  std::unique_ptr<Norm> norm_;
};

REHEARSE_REGISTER(Block, "dense", DenseBlock);

}  // namespace
}  // namespace rehearse
