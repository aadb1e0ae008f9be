#include "models/ops/strided_conv.h"
#include "trainer/base/error.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

// A chain of convolutions of stride 2.
class SubsampleBlock : public Block {
 public:
  struct Options {
    int64_t channels = 256;
    int64_t factor = 4;
    int64_t kernel = 5;
    LayerEnd end;

    static Options from(ConfigNode& node) {
      Options options;
      options.channels = node.integer("channels", options.channels, {1, 1 << 16});
      options.factor = node.integer("factor", options.factor, {2, 8});
      if (options.factor != 2 && options.factor != 4 && options.factor != 8)
        node.fail("factor", concat("expected 2, 4 or 8; found ", options.factor));
      options.kernel = odd_kernel_from(node, options.kernel);
      options.end = LayerEnd::from(node);
      return options;
    }
  };
  static constexpr const char* kExample = "{type: subsample, channels: 24, factor: 4, kernel: 3, dropout: 0.2}";

  SubsampleBlock(const Options& options, const Context& context) : options_(options), index_(context.index) {
    int64_t channels = context.input_channels;
    for (int64_t factor = options.factor; factor > 1; factor /= 2) {
      const std::string prefix = concat(context.name, ".layers.", convs_.size(), ".");
      convs_.emplace_back(StridedConv::Shape{channels, options.channels, options.kernel, 2}, options.end.norm, context,
                          prefix);
      channels = options.channels;
    }
  }

  Sequence forward(const Sequence& input, const ForwardContext& context) override {
    Sequence sequence = input;
    for (size_t i = 0; i < convs_.size(); ++i) {
      const double dropout = i + 1 == convs_.size() ? options_.end.dropout : 0;
      sequence =
          convs_[i].forward(sequence, context, Epilogue::of(options_.end.activation, dropout, context, index_, i));
    }
    return sequence;
  }
  // ⌊(⌊(T − 1) / 2⌋ + 1 − 1) / 2⌋ + 1 … is the same as one division by the product.
  int64_t output_length(int64_t length) const override { return strided_length(length, options_.factor); }
  int64_t output_channels() const override { return options_.channels; }
  int64_t stride() const override { return options_.factor; }

 private:
  Options options_;
  uint64_t index_;
  std::vector<StridedConv> convs_;
};

REHEARSE_REGISTER(Block, "subsample", SubsampleBlock);

}  // namespace
}  // namespace rehearse
