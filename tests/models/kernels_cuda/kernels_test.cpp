// The CUDA kernels in the CPU emulation (emulation.h) against the CPU kernels. Results begin as kJunk, so that what a
// kernel forgets to write shows.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <regex>

#include "models/kernels/ctc/ctc_lattice.h"
#include "models/kernels/device_ctc.h"
#include "models/kernels/device_depthwise.h"
#include "models/kernels/device_frames.h"
#include "models/kernels/device_memory.h"
#include "trainer/base/files.h"
#include "trainer/base/random.h"
#include "trainer/engine/update/optimizers/adamw_device.h"
#include "trainer/engine/update/optimizers/sgd_device.h"

namespace rehearse {
namespace {

template <class Function>
typename Function::Signature* emulated() {
  static const DeviceTable table(device_entries());
  return table.get<Function>();
}

constexpr float kJunk = 1e20f;
constexpr double kTolerance = 1e-5;  // sums of a few dozen floats in another order

std::vector<float> noise(int64_t count, uint64_t seed, double range = 1) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(static_cast<float>(range * (2 * RandomKey(seed).uniform(static_cast<uint64_t>(i)) - 1)));
  return values;
}
std::vector<float> junk(int64_t count) {
  return std::vector<float>(static_cast<size_t>(count), kJunk);
}
void expect_close(const std::vector<float>& expected, const std::vector<float>& found, const char* what) {
  double worst = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    ASSERT_FALSE(std::isnan(found[i])) << what << " " << i;
    worst = std::max(worst, std::abs(static_cast<double>(expected[i]) - found[i]));
  }
  EXPECT_LE(worst, kTolerance) << what;
}

void compare_depthwise(const DepthwiseShape& shape, int64_t frames, const std::vector<int64_t>& lengths) {
  SCOPED_TRACE(testing::Message() << "kernel " << shape.kernel << ", stride " << shape.stride << ", dilation "
                                  << shape.dilation << ", " << lengths.size() << " utterances");
  const auto batch = static_cast<int64_t>(lengths.size());
  const int64_t channels = shape.channels, output = shape.output_frames(frames), taps = shape.kernel * channels;
  const auto x = noise(batch * frames * channels, 1), weight = noise(taps, 2), dy = noise(batch * output * channels, 3);
  std::vector<float> y(dy.size()), dx(x.size()), dweight(weight.size());
  for (int64_t b = 0; b < batch; ++b) {
    const float* from = x.data() + b * frames * channels;
    const float* slope = dy.data() + b * output * channels;
    depthwise_forward(from, lengths[b], weight.data(), y.data() + b * output * channels, shape, {0, channels});
    depthwise_grad_input(slope, lengths[b], weight.data(), dx.data() + b * frames * channels, shape, {0, channels});
    depthwise_grad_weight(from, slope, lengths[b], dweight.data(), shape, {0, channels});
  }
  const DeviceDepthwise call{shape, batch, frames, lengths.data(), nullptr};
  auto found_y = junk(batch * output * channels), found_dx = junk(batch * frames * channels), found_dw = junk(taps);
  auto partials = junk(batch * pieces_of(output) * taps);
  emulated<DepthwiseForwardOnDevice>()(call, x.data(), weight.data(), found_y.data());
  emulated<DepthwiseGradInputOnDevice>()(call, dy.data(), weight.data(), found_dx.data());
  emulated<DepthwiseGradWeightOnDevice>()(call, x.data(), dy.data(), found_dw.data(), partials.data());
  expect_close(y, found_y, "y");
  expect_close(dx, found_dx, "dx");
  expect_close(dweight, found_dw, "dweight");
}

TEST(EmulatedCudaKernels, DepthwiseConvolutionEqualsTheCpu) {
  compare_depthwise({40, 13, 1, 1}, 37, {37, 0, 20});
  compare_depthwise({9, 5, 2, 1}, 33, {33, 1, 20});
  compare_depthwise({5, 7, 1, 3}, 20, {20, 9});
  compare_depthwise({7, 9, 3, 2}, 31, {31, 2});
}

TEST(EmulatedCudaKernels, MoreUtterancesThanOneLaunchHolds) {
  compare_depthwise({2, 3, 1, 1}, 2, std::vector<int64_t>(243, 2));
}

// One batch of rows for layer norm and gates.
struct Rows {
  static constexpr int64_t kBatch = 3, kFrames = 35, kChannels = 45;
  std::vector<int64_t> lengths = {35, 0, 33};
  std::vector<Dropout> dropout;
  Activation activation;
  std::vector<float> x = noise(size(), 1), dy = noise(size(), 2), residual = noise(size(), 3);
  std::vector<float> gate = noise(kBatch * kChannels, 4);

  Rows(Activation activation, double rate) : activation(activation) {
    for (uint64_t b = 0; b < kBatch; ++b) dropout.push_back(Dropout::of(rate, 0x123456789abcull * (b + 1)));
  }
  static int64_t size() { return kBatch * kFrames * kChannels; }
  DeviceBatch batch() const {
    return {kBatch, kFrames, kChannels, lengths.data(), dropout.data(), activation, nullptr};
  }
  FrameEpilogue epilogue(int64_t b) const { return {activation, dropout[static_cast<size_t>(b)], 0}; }
};

void compare_layer_norm(const Rows& rows) {
  const int64_t channels = Rows::kChannels, per_utterance = Rows::kFrames * channels;
  const auto bias = noise(channels, 5), weight = noise(channels, 6), shift = noise(channels, 7);
  std::vector<float> y(rows.x.size()), dx(rows.x.size()), sums(3 * channels), mean(105), rstd(105);
  for (int64_t b = 0; b < Rows::kBatch; ++b) {
    const LayerNormRows<float> own{rows.x.data() + b * per_utterance,
                                   bias.data(),
                                   weight.data(),
                                   shift.data(),
                                   mean.data() + b * Rows::kFrames,
                                   rstd.data() + b * Rows::kFrames,
                                   rows.lengths[static_cast<size_t>(b)],
                                   channels,
                                   1e-5,
                                   rows.epilogue(b)};
    layer_norm_forward(own, y.data() + b * per_utterance);
    layer_norm_backward(own, rows.dy.data() + b * per_utterance, dx.data() + b * per_utterance, sums.data(),
                        sums.data() + channels, sums.data() + 2 * channels);
  }
  auto found_y = junk(Rows::size()), found_dx = junk(Rows::size()), found_sums = junk(3 * channels);
  auto partials = junk(Rows::kBatch * pieces_of(Rows::kFrames) * 3 * channels);
  const DeviceLayerNorm norm{rows.x.data(), bias.data(), weight.data(), shift.data(), mean.data(), rstd.data(), 1e-5};
  emulated<LayerNormForwardOnDevice>()(rows.batch(), norm, found_y.data());
  emulated<LayerNormBackwardOnDevice>()(rows.batch(), norm,
                                        {rows.dy.data(), found_dx.data(), found_sums.data(), partials.data()});
  expect_close(y, found_y, "y");
  expect_close(dx, found_dx, "dx");
  expect_close(sums, found_sums, "sums");
}

TEST(EmulatedCudaKernels, LayerNormEqualsTheCpu) {
  compare_layer_norm(Rows(Activation::kRelu, 0.3));
  compare_layer_norm(Rows(Activation::kSilu, 0));
}

void compare_gate(const Rows& rows, bool has_gate, bool has_residual) {
  SCOPED_TRACE(testing::Message() << "gate " << has_gate << ", residual " << has_residual);
  const int64_t channels = Rows::kChannels, per_utterance = Rows::kFrames * channels;
  std::vector<float> y(rows.x.size()), dx(rows.x.size()), dresidual(rows.x.size()), dgate(rows.gate.size());
  const bool splits = has_gate && has_residual;
  for (int64_t b = 0; b < Rows::kBatch; ++b) {
    const GatedRows<float> own{rows.x.data() + b * per_utterance,
                               has_gate ? rows.gate.data() + b * channels : nullptr,
                               has_residual ? rows.residual.data() + b * per_utterance : nullptr,
                               rows.lengths[static_cast<size_t>(b)],
                               channels,
                               rows.epilogue(b)};
    gated_forward(own, y.data() + b * per_utterance);
    gated_backward(own, rows.dy.data() + b * per_utterance, dx.data() + b * per_utterance,
                   splits ? dresidual.data() + b * per_utterance : nullptr,
                   has_gate ? dgate.data() + b * channels : nullptr);
  }
  const DeviceGate gate{rows.x.data(), has_gate ? rows.gate.data() : nullptr,
                        has_residual ? rows.residual.data() : nullptr};
  auto found_y = junk(Rows::size()), found_dx = junk(Rows::size()), found_dresidual = junk(Rows::size());
  auto found_dgate = junk(Rows::kBatch * channels);
  auto partials = junk(Rows::kBatch * pieces_of(Rows::kFrames) * channels);
  emulated<GateForwardOnDevice>()(rows.batch(), gate, found_y.data());
  emulated<GateBackwardOnDevice>()(rows.batch(), gate,
                                   {rows.dy.data(), found_dx.data(), splits ? found_dresidual.data() : nullptr,
                                    has_gate ? found_dgate.data() : nullptr, has_gate ? partials.data() : nullptr});
  expect_close(y, found_y, "y");
  expect_close(dx, found_dx, "dx");
  if (splits) expect_close(dresidual, found_dresidual, "dresidual");
  if (has_gate) expect_close(dgate, found_dgate, "dgate");
}

TEST(EmulatedCudaKernels, GatesEqualTheCpu) {
  compare_gate(Rows(Activation::kSilu, 0.2), true, true);
  compare_gate(Rows(Activation::kRelu, 0.2), false, true);
  compare_gate(Rows(Activation::kNone, 0), true, false);
}

// The tables of a batch, built as models/ops/device_ops.cpp builds them, by another route: one group per token and
// class.
struct CtcBatch {
  int64_t frames, classes, states = 1;
  std::vector<float> logits;
  std::vector<int64_t> lengths;
  std::vector<std::vector<int32_t>> targets;
  std::vector<DeviceCtcUtterance> utterances;
  std::vector<int32_t> tokens, order, groups;

  CtcBatch(int64_t frames, int64_t classes, std::vector<int64_t> lengths, std::vector<std::vector<int32_t>> targets)
      : frames(frames),
        classes(classes),
        logits(noise(frames * classes * static_cast<int64_t>(lengths.size()), 9, 4)),
        lengths(std::move(lengths)),
        targets(std::move(targets)) {
    for (size_t b = 0; b < this->targets.size(); ++b) add(this->targets[b], this->lengths[b]);
  }
  void add(const std::vector<int32_t>& target, int64_t length) {
    const bool is_feasible = ctc_frames_needed(target) <= length;
    DeviceCtcUtterance one{is_feasible ? static_cast<int32_t>(length) : 0,
                           static_cast<int32_t>(target.size()),
                           0,
                           static_cast<int32_t>(tokens.size()),
                           static_cast<int32_t>(groups.size()),
                           0.5f};
    tokens.insert(tokens.end(), target.begin(), target.end());
    int32_t place = 0;
    for (int32_t token = 0; token < classes; ++token) {
      const int32_t begin = place;
      for (size_t i = 0; i < target.size(); ++i)
        if (target[i] == token) order.push_back(static_cast<int32_t>(i)), ++place;
      if (place > begin) groups.push_back(begin), ++one.num_groups;
    }
    groups.push_back(place);
    states = std::max(states, 2 * static_cast<int64_t>(target.size()) + 1);
    utterances.push_back(one);
  }
  void run(bool is_wide, std::vector<double>& losses, std::vector<float>& gradient) const {
    const size_t batch = utterances.size(), rows = batch * static_cast<size_t>(frames);
    std::vector<double> log_sums(rows, NAN), alpha(rows * static_cast<size_t>(states), NAN), beta(alpha);
    std::vector<double> last_rows(batch * 4 * static_cast<size_t>(states), NAN);
    losses.assign(batch, kJunk);
    gradient = junk(static_cast<int64_t>(logits.size()));
    emulated<CtcOnDevice>()({logits.data(), static_cast<int64_t>(batch), frames, classes,
                             static_cast<int32_t>(classes - 1), states, utterances.data(), tokens.data(), order.data(),
                             groups.data(), log_sums.data(), alpha.data(), beta.data(),
                             is_wide ? last_rows.data() : nullptr, losses.data(), gradient.data(), nullptr});
  }
};

const std::vector<std::vector<int32_t>> kTargets = {{1, 2, 2, 3, 1}, {}, {4, 4, 4, 4}, {0, 5, 9}};

void compare_ctc(const CtcBatch& batch, bool is_wide) {
  std::vector<float> gradient(batch.logits.size()), found;
  std::vector<double> losses;
  batch.run(is_wide, losses, found);
  for (size_t b = 0; b < batch.lengths.size(); ++b) {
    const auto offset = static_cast<int64_t>(b) * batch.frames * batch.classes;
    const CtcOutcome expected =
        ctc_loss_and_gradient(batch.logits.data() + offset, batch.lengths[b], batch.classes, batch.targets[b],
                              static_cast<int32_t>(batch.classes - 1), 0.5, gradient.data() + offset);
    EXPECT_NEAR(losses[b], expected.loss, 1e-6 * (1 + expected.loss)) << "utterance " << b;
  }
  expect_close(gradient, found, "gradient");
}

TEST(EmulatedCudaKernels, CtcEqualsTheCpuFeasibleOrNot) {
  compare_ctc(CtcBatch(20, 12, {20, 7, 5, 19}, kTargets), false);
}

TEST(EmulatedCudaKernels, CtcWithItsRowsInGlobalMemoryEqualsTheCpu) {
  compare_ctc(CtcBatch(12, 12, {12, 3, 9, 5}, kTargets), true);
}

TEST(EmulatedCudaKernels, ALogitThatIsNotFiniteSpoilsItsUtteranceOnly) {
  CtcBatch batch(8, 12, {8, 8}, {{1}, {2}});
  batch.logits[14] = NAN;
  std::vector<float> gradient;
  std::vector<double> losses;
  batch.run(false, losses, gradient);
  EXPECT_TRUE(std::isnan(losses[0]) && std::isnan(gradient[50]));
  EXPECT_TRUE(std::isfinite(losses[1]) && std::isfinite(gradient[8 * 12 + 50]));
}

TEST(EmulatedCudaKernels, ArgmaxTakesTheFirstOfEquals) {
  std::vector<float> logits = noise(9 * 70, 3);
  logits[5] = logits[40] = logits[69] = 2;
  std::vector<int32_t> best(9, -1);
  emulated<ArgmaxOnDevice>()(logits.data(), 9, 70, best.data(), nullptr);
  for (int64_t row = 0; row < 9; ++row) {
    const auto begin = logits.begin() + row * 70;
    EXPECT_EQ(best[static_cast<size_t>(row)], std::max_element(begin, begin + 70) - begin);
  }
}

TEST(EmulatedCudaKernels, SumsOfSquaresCoverEveryBlock) {
  const auto values = noise(kDeviceSumBlock + 777, 4);
  double expected[2] = {}, found[2] = {-1, -1};
  for (size_t i = 0; i < values.size(); ++i)
    expected[i / kDeviceSumBlock] += static_cast<double>(values[i]) * values[i];
  emulated<SumOfSquaresOnDevice>()(values.data(), static_cast<int64_t>(values.size()), found, nullptr);
  for (int i : {0, 1}) EXPECT_NEAR(found[i], expected[i], 1e-9 * expected[i]);
}

TEST(EmulatedCudaKernels, AnUpdateTouchesItsSegmentsOnly) {
  std::vector<float> parameter(300, 1), gradient(300, 2), average(300, 0.5), square(300, 0.25), velocity(300, 1);
  std::vector<DeviceAdamWSegment> segments;
  for (int64_t i = 0; i < 100; ++i) segments.push_back({3 * i, 2, 0.1f, 0.9f});
  emulated<AdamWOnDevice>()(parameter.data(), gradient.data(), average.data(), square.data(), segments.data(), 100,
                            {0.9f, 0.5f, 0.0f, 2.0f, 0.5f}, nullptr);
  const DeviceSgdSegment second{1, 1, 0.1f, 0.0f};
  emulated<SgdOnDevice>()(parameter.data(), gradient.data(), velocity.data(), &second, 1, {0.9f, 0.5f, true}, nullptr);
  // g = 1: m = 0.9 · 0.5 + 0.1, v = 0.5 · 0.25 + 0.5, step 0.1 m / (2 sqrt(v)).
  const float adam = 0.9f - 0.1f * 0.55f / (2 * std::sqrt(0.625f));
  for (size_t i = 0; i < 300; i += 3) {
    EXPECT_NEAR(parameter[i], adam, 1e-6);
    EXPECT_EQ(parameter[i + 2], 1);
  }
  EXPECT_NEAR(parameter[1], adam - 0.1f * (1 + 0.9f * 1.9f), 1e-6);
}

// Every function that a header declares is defined by a .cu file; the stream is libtorch's, in the plug-in.
TEST(CudaKernels, AllThatAreDeclaredAreThere) {
  std::vector<std::string> declared;
  for (const char* folder : {"models/kernels", "trainer/engine/update/optimizers"})
    for (const auto& file : fs::directory_iterator(fs::path(REHEARSE_SOURCE_DIR) / folder)) {
      if (file.path().extension() != ".h" || file.path().filename() == "device_table.h") continue;
      static const std::regex kName(R"re(kName = "([a-z_]+)")re");
      const std::string text = read_text(file.path());
      for (std::sregex_iterator name(text.begin(), text.end(), kName), end; name != end; ++name)
        if ((*name)[1] != "current_stream") declared.push_back((*name)[1]);
    }
  EXPECT_THAT(DeviceTable(device_entries()).names(), testing::UnorderedElementsAreArray(declared));
  EXPECT_GE(declared.size(), 16u);
}

}  // namespace
}  // namespace rehearse
