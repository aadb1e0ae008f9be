// Speed of the kernels and of one whole training step on one thread. Not a test: run it on a quiet machine. The
// counters say audio seconds (100 frames a second) per second of one core.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include "data/speech/features/features.h"
#include "models/acoustic_model.h"
#include "models/ops/ctc_loss.h"
#include "models/ops/fused_ops.h"
#include "models/ops/products/product.h"
#include "models/ops/recurrence.h"
#include "trainer/base/registry.h"

namespace rehearse {
namespace {

at::Tensor noise(std::vector<int64_t> shape, bool requires_grad = true) {
  at::Tensor x = at::empty(shape, at::kFloat);
  float* data = x.mutable_data_ptr<float>();
  for (int64_t i = 0; i < x.numel(); ++i)
    data[i] = static_cast<float>(2 * RandomKey(1).uniform(static_cast<uint64_t>(i)) - 1);
  return x.set_requires_grad(requires_grad);
}

// Forward and backward of `function` on [B, T, C] tensors.
template <class Function>
void run_both(benchmark::State& state, const Function& function, std::vector<at::Tensor> leaves) {
  at::Tensor upstream;
  for (auto _ : state) {
    const at::Tensor y = function();
    if (!upstream.defined()) upstream = at::ones_like(y);
    y.backward(upstream);
    for (at::Tensor& leaf : leaves) leaf.mutable_grad() = at::Tensor();
  }
}

// B 8, T 400, C 256, K 13: the arithmetic limit of one AVX2 core is about 2 ms.
void BM_Depthwise(benchmark::State& state) {
  const at::Tensor x = noise({8, 400, 256}), weight = noise({13, 256});
  const std::vector<int64_t> lengths(8, 400);
  run_both(state, [&] { return depthwise_conv(x, weight, lengths, 1, 1); }, {x, weight});
}

void BM_DepthwiseStrided(benchmark::State& state) {
  const at::Tensor x = noise({8, 400, 256}), weight = noise({13, 256});
  const std::vector<int64_t> lengths(8, 400);
  run_both(state, [&] { return depthwise_conv(x, weight, lengths, 2, 1); }, {x, weight});
}

void BM_DepthwiseAsConv2d(benchmark::State& state) {
  const at::Tensor x = noise({8, 400, 256}), weight = noise({256, 1, 1, 13});
  const auto forward = [&] {
    return at::conv2d(x.transpose(1, 2).unsqueeze(2), weight, {}, at::IntArrayRef({1, 1}), at::IntArrayRef({0, 6}),
                      at::IntArrayRef({1, 1}), 256);
  };
  run_both(state, forward, {x, weight});
}

// B 8, T 200, a bidirectional layer of 256 units over 256 channels; args: GRU or LSTM.
void BM_Recurrent(benchmark::State& state) {
  const Cell cell = state.range(0) == 0 ? Cell::kGru : Cell::kLstm;
  const int64_t width = num_gates(cell) * 256;
  const at::Tensor x = noise({8, 200, 256});
  std::vector<at::Tensor> inputs, leaves{x};
  std::vector<RecurrentWeights> weights;
  for (int side = 0; side < 2; ++side) {
    inputs.push_back(noise({width, 256}).detach().div(16).set_requires_grad(true));
    weights.push_back({noise({width, 256}).detach().div(16).set_requires_grad(true), noise({width})});
    leaves.insert(leaves.end(), {inputs.back(), weights.back().weight, weights.back().bias});
  }
  const std::vector<int64_t> lengths(8, 200);
  const auto side_of = [&](size_t side) {
    return recurrence({}, cell, product(x, inputs[side], {}), weights[side], lengths, side == 1);
  };
  run_both(
      state,
      [&] {
        return at::cat({side_of(0), side_of(1)}, 2);
      },
      leaves);
}

void BM_RecurrentOfLibtorch(benchmark::State& state) {
  const int64_t width = (state.range(0) == 0 ? 3 : 4) * 256;
  const at::Tensor x = noise({8, 200, 256}), start = at::zeros({2, 8, 256});
  std::vector<at::Tensor> weights;
  for (int side = 0; side < 2; ++side)
    for (const auto& shape : std::vector<std::vector<int64_t>>{{width, 256}, {width, 256}, {width}, {width}})
      weights.push_back(noise(shape).detach().div(16).set_requires_grad(true));
  std::vector<at::Tensor> leaves = weights;
  leaves.push_back(x);
  const auto run = [&] {
    if (state.range(0) == 0) return std::get<0>(at::gru(x, start, weights, true, 1, 0.0, true, true, true));
    return std::get<0>(at::lstm(x, {start, start}, weights, true, 1, 0.0, true, true, true));
  };
  run_both(state, run, leaves);
}

void BM_Pointwise(benchmark::State& state) {
  const at::Tensor x = noise({8, 400, 256}), weight = noise({256, 256});
  run_both(state, [&] { return at::linear(x, weight); }, {x, weight});
}

void BM_LayerNormReluDropout(benchmark::State& state) {
  const at::Tensor x = noise({8, 400, 256}), bias = noise({256}), weight = noise({256}), shift = noise({256});
  const std::vector<int64_t> lengths(8, 400);
  const ForwardContext context{true, 1, 1, {1, 2, 3, 4, 5, 6, 7, 8}};
  const Epilogue epilogue = Epilogue::of(Activation::kRelu, 0.1, context, 0, 0);
  run_both(state, [&] { return fused_layer_norm(x, bias, weight, shift, lengths, epilogue); },
           {x, bias, weight, shift});
}

void BM_BatchNormReluDropout(benchmark::State& state) {
  const at::Tensor x = noise({8, 400, 256}), weight = noise({256}), shift = noise({256});
  const std::vector<int64_t> lengths(8, 400);
  const ForwardContext context{true, 1, 1, {1, 2, 3, 4, 5, 6, 7, 8}};
  const Epilogue epilogue = Epilogue::of(Activation::kRelu, 0.1, context, 0, 0);
  BatchMoments moments;
  run_both(state, [&] { return fused_batch_norm(x, weight, shift, lengths, epilogue, 1e-5, {}, moments); },
           {x, weight, shift});
}

// Of 8 utterances: classes, frames, tokens.
struct CtcProblem {
  int64_t classes, frames, tokens;
  at::Tensor logits = noise({8, frames, classes});
  std::vector<int64_t> lengths = std::vector<int64_t>(8, frames);
  std::vector<std::vector<int32_t>> targets;
  explicit CtcProblem(const benchmark::State& state)
      : classes(state.range(0)), frames(state.range(1)), tokens(state.range(2)) {
    for (uint64_t b = 0; b < 8; ++b) {
      targets.emplace_back();
      for (int64_t i = 0; i < tokens; ++i)
        targets.back().push_back(
            static_cast<int32_t>(RandomKey(b).below(static_cast<uint64_t>(classes - 1), static_cast<uint64_t>(i))));
    }
  }
};

void BM_Ctc(benchmark::State& state) {
  CtcProblem problem(state);
  const auto blank = static_cast<int32_t>(problem.classes - 1);
  const std::vector<double> weights(8, 1.0);
  run_both(state, [&] { return ctc_loss(problem.logits, problem.lengths, problem.targets, blank, weights).sum; },
           {problem.logits});
}

void BM_CtcOfLibtorch(benchmark::State& state) {
  CtcProblem problem(state);
  std::vector<int64_t> flat;
  for (const auto& target : problem.targets) flat.insert(flat.end(), target.begin(), target.end());
  const at::Tensor targets = at::tensor(at::IntArrayRef(flat), at::kLong);
  const at::Tensor sizes = at::full({8}, problem.tokens, at::kLong), lengths = at::full({8}, problem.frames, at::kLong);
  const auto forward = [&] {
    return at::ctc_loss(at::log_softmax(problem.logits, 2).transpose(0, 1), targets, lengths, sizes,
                        problem.classes - 1, at::Reduction::Sum, false);
  };
  run_both(state, forward, {problem.logits});
}

void BM_LogMel(benchmark::State& state) {
  Config config = Config::parse("{type: log_mel}");
  const std::unique_ptr<Features> features = build_features(config.root(), {16000});
  const at::Tensor samples = noise({5, 48000}, false);
  for (auto _ : state)
    benchmark::DoNotOptimize(features->compute(samples, std::vector<int64_t>(5, 48000)).x.data_ptr());
  state.counters["audio_s/s"] = benchmark::Counter(15.0, benchmark::Counter::kIsIterationInvariantRate);
}

constexpr const char* kModel = R"(
blocks:
  - {type: subsample, channels: 256, factor: 4, dropout: 0.1}
  - &separable {type: separable, channels: 256, kernel: 13, dropout: 0.1}
  - *separable
  - *separable
  - *separable
  - *separable
  - *separable
  - *separable
  - *separable
)";

struct StepProblem {
  Config config = Config::parse(kModel);
  AcousticModel model;
  Sequence features;
  ForwardContext context{true, 1, 1, {}};
  std::vector<std::vector<int32_t>> targets;

  explicit StepProblem(int64_t batch)
      : model(config.root(), {80, 32, 1, at::TensorOptions().dtype(at::kFloat), {}}),
        features{noise({batch, 1500 / batch, 80}, false), std::vector<int64_t>(batch, 1500 / batch)} {
    for (int64_t b = 0; b < batch; ++b) {
      context.ids.push_back(static_cast<uint64_t>(b));
      targets.emplace_back();
      for (int64_t i = 0; i < 200 / batch; ++i) targets.back().push_back(static_cast<int32_t>((i * 7 + b) % 31));
    }
    // Gradients stay where they are, as in the arena: backward adds into them.
    for (Parameter& parameter : model.parameters()) parameter.tensor.mutable_grad() = at::zeros_like(parameter.tensor);
  }
};

// A micro-batch of 15 s as B utterances: forward, CTC and backward.
void BM_TrainingStep(benchmark::State& state) {
  StepProblem problem(state.range(0));
  const std::vector<double> weights(problem.targets.size(), 1.0);
  for (auto _ : state) {
    const Sequence logits = problem.model.forward(problem.features, problem.context);
    ctc_loss(logits.x, logits.lengths, problem.targets, problem.model.blank(), weights).sum.backward();
  }
  state.counters["audio_s/s"] = benchmark::Counter(15.0, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["parameters"] = static_cast<double>(problem.model.num_parameters());
}

void BM_Inference(benchmark::State& state) {
  StepProblem problem(state.range(0));
  const at::NoGradGuard no_gradients;
  for (auto _ : state) benchmark::DoNotOptimize(problem.model.forward(problem.features, {}).x.data_ptr());
  state.counters["audio_s/s"] = benchmark::Counter(15.0, benchmark::Counter::kIsIterationInvariantRate);
}

// The network for facial keypoints of 96 × 96 pixels, with the layer of its 30 coordinates.
constexpr const char* kKeypointNet = R"(
blocks:
  - {type: conv2d, width: 96, channels: 32, kernel: 3, norm: none}
  - {type: max_pool2d, width: 94}
  - {type: conv2d, width: 47, channels: 64, kernel: 2, norm: none}
  - {type: max_pool2d, width: 46}
  - {type: conv2d, width: 23, channels: 128, kernel: 2, norm: none}
  - {type: max_pool2d, width: 22}
  - {type: dense, frames: 11, units: 100, norm: none}
  - {type: dense, units: 100, norm: none}
  - {type: dense, units: 30, norm: none, activation: none}
)";

// Forward and backward of 25 pictures.
void BM_KeypointNet(benchmark::State& state) {
  Config config = Config::parse(kKeypointNet);
  ParameterStore store(1, at::TensorOptions().dtype(at::kFloat));
  std::vector<std::unique_ptr<Block>> blocks;
  int64_t channels = 96;
  for (ConfigNode& node : config.root().children("blocks")) {
    const Block::Context context{channels, concat("blocks.", blocks.size()), blocks.size(), &store, {}, node.where()};
    blocks.push_back(Registry<Block>::instance().create(node, context));
    channels = blocks.back()->output_channels();
  }
  const at::Tensor pictures = noise({25, 96, 96}, false);
  const auto forward = [&] {
    Sequence sequence{pictures, std::vector<int64_t>(25, 96)};
    for (const auto& block : blocks) sequence = block->forward(sequence, {});
    return sequence.x;
  };
  std::vector<at::Tensor> leaves;
  for (const Parameter& parameter : store.parameters()) leaves.push_back(parameter.tensor);
  run_both(state, forward, leaves);
  state.counters["pictures/s"] = benchmark::Counter(25.0, benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK(BM_Depthwise)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_DepthwiseStrided)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_DepthwiseAsConv2d)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Recurrent)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_RecurrentOfLibtorch)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Pointwise)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_LayerNormReluDropout)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_BatchNormReluDropout)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Ctc)->Args({40, 200, 60})->Args({1000, 200, 60})->Args({32, 375, 150})->Unit(benchmark::kMillisecond);
BENCHMARK(BM_CtcOfLibtorch)
    ->Args({40, 200, 60})
    ->Args({1000, 200, 60})
    ->Args({32, 375, 150})
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_LogMel)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_KeypointNet)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_TrainingStep)->Arg(1)->Arg(5)->Arg(37)->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Inference)->Arg(1)->Arg(5)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace rehearse

int main(int argc, char** argv) {
  at::set_num_threads(1);
  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // activations come from the heap, not from fresh zeroed pages every step
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
