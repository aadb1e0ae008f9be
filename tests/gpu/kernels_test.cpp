// Every device kernel against its CPU twin, and one whole update of a small model.
#include "models/acoustic_model.h"
#include "models/ops/ctc_loss.h"
#include "models/ops/fused_ops.h"
#include "models/ops/mixed_ops.h"
#include "tests/gpu/gpu_here.h"
#include "tests/models/tensor_support.h"
#include "trainer/base/error.h"
#include "trainer/device/device.h"
#include "trainer/engine/update/arena.h"

namespace rehearse {
namespace {

using namespace testing_support;

// Sums of a few hundred floats in another order, and expf of another library.
constexpr double kTolerance = 2e-5;

class DeviceKernelsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (has_gpu()) device = Device::open("cuda", World(), /*is_deterministic=*/true).torch();
  }
  void SetUp() override { REHEARSE_NEEDS_GPU(); }

  // Result and gradients of `work` on CPU tensors and on copies of them on the device; inputs may be undefined.
  using Work = std::function<at::Tensor(const std::vector<at::Tensor>&)>;
  static std::vector<at::Tensor> results_on(at::Device where, const std::vector<at::Tensor>& inputs, const Work& work) {
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& input : inputs)
      leaves.push_back(input.defined() ? input.to(where).detach().clone().requires_grad_(true) : input);
    const at::Tensor y = work(leaves);
    (y * noise(y.sizes().vec(), 99, at::kFloat).to(where)).sum().backward();
    std::vector<at::Tensor> results = {y.detach().cpu()};
    for (const at::Tensor& leaf : leaves)
      if (leaf.defined()) results.push_back(leaf.grad().cpu());
    return results;
  }
  static void expect_equal_results(const std::vector<at::Tensor>& inputs, const Work& work) {
    const auto expected = results_on(at::kCPU, inputs, work);
    const auto found = results_on(device, inputs, work);
    const auto again = results_on(device, inputs, work);
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_LE(difference(expected[i], found[i]), kTolerance * (1 + largest(expected[i]))) << "result " << i;
      EXPECT_TRUE(at::equal(found[i], again[i])) << "result " << i << " differs between two equal calls";
    }
  }
  static Epilogue epilogue_of(Activation activation, double rate) {
    return Epilogue::of(activation, rate, training_context({7, 8, 9}), 3, 0);
  }

  static inline at::Device device = at::kCPU;
};

const std::vector<int64_t> kLengths = {70, 0, 41};

TEST_F(DeviceKernelsTest, DepthwiseConvolutionEqualsTheCpu) {
  for (const auto& shape : {std::array{13, 1, 1}, {5, 2, 1}, {7, 1, 3}, {9, 3, 2}, {1, 1, 1}}) {
    const int kernel = shape[0], stride = shape[1], dilation = shape[2];
    SCOPED_TRACE(concat("kernel ", kernel, ", stride ", stride, ", dilation ", dilation));
    const at::Tensor x = noise_batch(kLengths, 70, 37, 1, at::kFloat).x;
    expect_equal_results({x, noise({kernel, 37}, 2, at::kFloat)}, [&](const std::vector<at::Tensor>& in) {
      return depthwise_conv(in[0], in[1], kLengths, stride, dilation);
    });
  }
}

TEST_F(DeviceKernelsTest, LayerNormWithItsEpilogueEqualsTheCpu) {
  for (Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu})
    for (double rate : {0.0, 0.3}) {
      const at::Tensor x = noise_batch(kLengths, 70, 45, 1, at::kFloat).x;
      const Epilogue epilogue = epilogue_of(activation, rate);
      expect_equal_results({x, noise({45}, 2, at::kFloat), noise({45}, 3, at::kFloat), noise({45}, 4, at::kFloat)},
                           [&](const std::vector<at::Tensor>& in) {
                             return fused_layer_norm(in[0], in[1], in[2], in[3], kLengths, epilogue);
                           });
    }
}

TEST_F(DeviceKernelsTest, GateResidualAndDropoutEqualTheCpu) {
  const at::Tensor x = noise_batch(kLengths, 70, 45, 1, at::kFloat).x;
  const at::Tensor residual = noise_batch(kLengths, 70, 45, 2, at::kFloat).x;
  const at::Tensor gate = noise({3, 45}, 3, at::kFloat);
  for (Activation activation : {Activation::kNone, Activation::kRelu, Activation::kSilu}) {
    const Epilogue epilogue = epilogue_of(activation, 0.2);
    expect_equal_results({x, gate, residual}, [&](const std::vector<at::Tensor>& in) {
      return fused_gate(in[0], in[1], in[2], kLengths, epilogue);
    });
    expect_equal_results({x, residual}, [&](const std::vector<at::Tensor>& in) {
      return fused_gate(in[0], {}, in[1], kLengths, epilogue);
    });
    expect_equal_results(
        {x}, [&](const std::vector<at::Tensor>& in) { return fused_gate(in[0], {}, {}, kLengths, epilogue); });
  }
}

TEST_F(DeviceKernelsTest, TheDropoutMaskIsTheCpusBitForBit) {
  const std::vector<int64_t> lengths = {50, 50, 50};
  const at::Tensor x = at::ones({3, 50, 33});
  const Epilogue epilogue = epilogue_of(Activation::kNone, 0.37);
  EXPECT_TRUE(
      at::equal(fused_gate(x, {}, {}, lengths, epilogue), fused_gate(x.to(device), {}, {}, lengths, epilogue).cpu()));
}

TEST_F(DeviceKernelsTest, ManyUtterancesAreCutIntoSeveralLaunches) {
  const std::vector<int64_t> lengths(600, 3);
  expect_equal_results({noise({600, 3, 8}, 1, at::kFloat), noise({3, 8}, 2, at::kFloat)},
                       [&](const std::vector<at::Tensor>& in) { return depthwise_conv(in[0], in[1], lengths, 1, 1); });
}

void expect_equal_ctc(at::Device device, int64_t frames, int64_t classes,
                      const std::vector<std::vector<int32_t>>& targets, const std::vector<int64_t>& lengths) {
  const auto blank = static_cast<int32_t>(classes - 1);
  const at::Tensor logits = noise({static_cast<int64_t>(lengths.size()), frames, classes}, 5, at::kFloat) * 4;
  std::vector<double> weights(lengths.size(), 1.0);
  weights[0] = 0.5;
  const at::Tensor on_cpu = logits.clone().requires_grad_(true);
  const at::Tensor on_device = logits.to(device).detach().requires_grad_(true);
  const CtcLoss expected = ctc_loss(on_cpu, lengths, targets, blank, weights);
  CtcLoss found = ctc_loss(on_device, lengths, targets, blank, weights);
  EXPECT_NEAR(expected.sum.item<double>(), found.sum.item<double>(), 1e-5 * (1 + expected.sum.item<double>()));
  found.collect();
  EXPECT_EQ(expected.is_infeasible, found.is_infeasible);
  for (size_t b = 0; b < lengths.size(); ++b)
    EXPECT_NEAR(expected.losses[b], found.losses[b], 1e-5 * (1 + expected.losses[b])) << "utterance " << b;
  expected.sum.backward();
  found.sum.backward();
  EXPECT_LE(difference(on_cpu.grad(), on_device.grad().cpu()), 5e-5);
  const auto paths = ctc_greedy_decode(logits, lengths, blank);
  const auto device_paths = ctc_greedy_decode(on_device, lengths, blank);
  for (size_t b = 0; b < lengths.size(); ++b) {
    EXPECT_EQ(paths[b].tokens, device_paths[b].tokens);
    EXPECT_EQ(paths[b].frames, device_paths[b].frames);
    EXPECT_EQ(paths[b].num_blank_frames, device_paths[b].num_blank_frames);
  }
}

TEST_F(DeviceKernelsTest, CtcAndGreedyDecodingEqualTheCpu) {
  expect_equal_ctc(device, 60, 12, {{1, 2, 2, 3, 1}, {}, {4, 4, 4, 4}, {0, 5, 9}}, {60, 20, 5, 33});
}

TEST_F(DeviceKernelsTest, CtcOfAVeryLongTargetEqualsTheCpu) {
  std::vector<int32_t> target;
  for (int i = 0; i < 1700; ++i) target.push_back(i % 9);
  expect_equal_ctc(device, 2000, 12, {target, {1, 2}}, {2000, 900});
}

TEST_F(DeviceKernelsTest, ALogitThatIsNotFiniteMakesTheLossNan) {
  at::Tensor logits = noise({1, 10, 5}, 5, at::kFloat).to(device);
  logits[0][3][2].fill_(std::nan(""));
  CtcLoss loss = ctc_loss(logits, {10}, {{1}}, 4, {1.0});
  loss.collect();
  EXPECT_TRUE(std::isnan(loss.losses[0]));
}

// Beyond some 128 frames the fused attentions' backward passes add in any order; the one that is chosen must not.
TEST_F(DeviceKernelsTest, AttentionOverManyFramesEqualsTheCpuAndItself) {
  const auto part = [](uint64_t seed) { return noise({2, 4, 700, 16}, seed, at::kFloat); };
  const at::Tensor bias = at::zeros({2, 1, 1, 700});
  bias[1].slice(2, 512).fill_(-std::numeric_limits<float>::infinity());
  expect_equal_results({part(1), part(2), part(3)}, [&](const std::vector<at::Tensor>& in) {
    return mixed_attention({}, in[0], in[1], in[2], bias.to(in[0].device()));
  });
}

// Products in bfloat16 lose 8 bits and keep the sum in float: near the CPU's own, and equal from call to call.
TEST_F(DeviceKernelsTest, Bfloat16ProductsAreNearTheCpusAndRepeatThemselves) {
  const std::vector<at::Tensor> inputs = {noise({3, 50, 64}, 1, at::kFloat), noise({32, 64}, 2, at::kFloat)};
  const Work work = [](const std::vector<at::Tensor>& in) {
    ForwardContext context;
    context.precision = Precision::kBfloat16;
    return mixed_linear(context, in[0], in[1], {});
  };
  const auto expected = results_on(at::kCPU, inputs, work), found = results_on(device, inputs, work);
  const auto again = results_on(device, inputs, work);
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_LE(difference(expected[i], found[i]), 0.02 * (1 + largest(expected[i]))) << "result " << i;
    EXPECT_TRUE(at::equal(found[i], again[i])) << "result " << i;
  }
}

// A model and its optimizer after a few updates; the same on both devices.
struct Learner {
  static constexpr const char* kModel = R"(
blocks:
  - {type: subsample, channels: 16, factor: 2, kernel: 3}
  - {type: separable, channels: 24, kernel: 5, repeat: 2, dropout: 0.1}
  - {type: transformer, heads: 2, ff: 24, dropout: 0.1}
head: {type: ctc}
)";
  Config config = Config::parse(kModel);
  AcousticModel model;
  Arena arena;
  double norm = 0;
  double loss = 0;

  explicit Learner(at::Device device)
      : model(config.root(), {20, 11, 3, at::TensorOptions().dtype(at::kFloat).device(device), {}}),
        arena(model.store()) {}

  void update(const std::string& optimizer, int steps) {
    Config options = Config::parse(optimizer);
    const bool is_cpu = arena.parameters().is_cpu();
    auto rule = Registry<Optimizer>::instance().create(
        options.root(), {arena.num_elements(), is_cpu ? nullptr : installed_device_table()});
    for (int step = 1; step <= steps; ++step) {
      arena.begin_update();
      Sequence input = noise_batch({80, 61}, 80, 20, 6, at::kFloat);
      input.x = input.x.to(arena.parameters().device());
      const Sequence logits = model.forward(input, training_context({4, 5}, static_cast<uint64_t>(step)));
      CtcLoss result = ctc_loss(logits.x, logits.lengths, {{1, 2, 3}, {4, 4}}, model.blank(), {1, 1});
      result.sum.backward();
      arena.write_tail({42});
      const Arena::GradientTotals totals = arena.gradient_totals();
      EXPECT_EQ(totals.tail[0], 42);
      norm = std::sqrt(totals.sum_of_squares);
      result.collect();
      loss = result.losses[0] + result.losses[1];
      rule->step({arena.parameters().data_ptr<float>(), arena.num_elements()},
                 {arena.gradients().data_ptr<float>(), arena.num_elements()}, arena.segments(), 0.01, 0.2,
                 static_cast<uint64_t>(step));
    }
    for (auto& [name, values] : rule->state()) EXPECT_EQ(values.size(), arena.num_elements()) << name;
  }
};

TEST_F(DeviceKernelsTest, WholeUpdatesEqualTheCpu) {
  for (const char* optimizer : {"{type: adamw, eps: 0.001}", "{type: sgd, momentum: 0.9, nesterov: true}"}) {
    SCOPED_TRACE(optimizer);
    Learner expected(at::kCPU), found(device), again(device);
    expected.update(optimizer, 3);
    found.update(optimizer, 3);
    again.update(optimizer, 3);
    EXPECT_NEAR(found.norm, expected.norm, 1e-3 * expected.norm);
    EXPECT_NEAR(found.loss, expected.loss, 1e-4 * expected.loss);
    EXPECT_LE(difference(expected.arena.parameters(), found.arena.parameters().cpu()), 5e-4);
    EXPECT_TRUE(at::equal(found.arena.parameters(), again.arena.parameters())) << "two equal runs differ";
  }
}

}  // namespace
}  // namespace rehearse
