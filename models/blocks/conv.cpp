#include "models/ops/strided_conv.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

class ConvBlock : public Block {
 public:
  struct Options {
    int64_t channels = 256;
    int64_t kernel = 5;
    int64_t stride = 1;
    LayerEnd end;

    static Options from(ConfigNode& node) {
      Options options;
      options.channels = node.integer("channels", options.channels, {1, 1 << 16});
      options.kernel = odd_kernel_from(node, options.kernel);
      options.stride = node.integer("stride", options.stride, {1, 64});
      options.end = LayerEnd::from(node);
      return options;
    }
  };
  static constexpr const char* kExample = "{type: conv, channels: 24, kernel: 5, stride: 2, dropout: 0.2}";

  ConvBlock(const Options& options, const Context& context)
      : options_(options),
        index_(context.index),
        conv_({context.input_channels, options.channels, options.kernel, options.stride}, options.end.norm, context,
              context.name + ".") {}

  Sequence forward(const Sequence& input, const ForwardContext& context) override {
    return conv_.forward(input, context, options_.end.epilogue(context, index_, 0));
  }
  int64_t output_length(int64_t length) const override { return strided_length(length, options_.stride); }
  int64_t output_channels() const override { return options_.channels; }
  int64_t stride() const override { return options_.stride; }

 private:
  Options options_;
  uint64_t index_;
  StridedConv conv_;
};

REHEARSE_REGISTER(Block, "conv", ConvBlock);

}  // namespace
}  // namespace rehearse
