// What clipping and the update cost beside a step of a 9.7 M-parameter model, ours and libtorch's, on one thread:
//   build/bin/update_bench [--rounds N] [--seconds S]
// S: padded seconds of one rank (half of batch.seconds on two ranks). Medians and ranges over rounds, in ms.
#include <ATen/Parallel.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <functional>
#include <iostream>

#include "models/acoustic_model.h"
#include "models/ops/ctc_loss.h"
#include "models/torch_prelude.h"
#include "trainer/base/registry.h"
#include "trainer/engine/update/arena.h"

namespace rehearse {
namespace {

constexpr int64_t kBatch = 8;

std::string blocks() {
  std::string yaml = "blocks:\n  - {type: subsample, channels: 512, factor: 8}\n";
  for (int i = 0; i < 20; ++i) yaml += "  - {type: separable, channels: 512, kernel: 13}\n";
  return yaml;
}

struct Model {
  Config config = Config::parse(blocks());
  AcousticModel model{config.root(), {80, 300, 1, at::TensorOptions().dtype(at::kFloat), {}}};
  // kBatch utterances of equal length, each with 40 tokens.
  void step(double seconds) {
    const auto frames = static_cast<int64_t>(seconds / kBatch * 100);
    const at::Tensor x = at::randn({kBatch, frames, 80});
    std::vector<uint64_t> ids(kBatch, 1);
    std::vector<std::vector<int32_t>> targets(kBatch, std::vector<int32_t>(40, 0));
    for (int32_t t = 0; t < 40; ++t)
      for (auto& one : targets) one[static_cast<size_t>(t)] = t * 7 % 299;
    const Sequence logits = model.forward({x, std::vector<int64_t>(kBatch, frames)}, {true, 1, 0, ids});
    ctc_loss(logits.x, logits.lengths, targets, model.blank(), std::vector<double>(kBatch, 1.0)).sum.backward();
  }
};

void report(const char* name, int rounds, const std::function<void()>& work) {
  std::vector<double> ms;
  for (int round = -1; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    work();
    if (round >= 0)
      ms.push_back(1000 * std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(ms.begin(), ms.end());
  std::cout << name << ": " << ms[ms.size() / 2] << " ms (" << ms.front() << " to " << ms.back() << ")" << std::endl;
}

int run(int argc, char** argv) {
  int rounds = 9;
  double seconds = 60;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (!std::strcmp(argv[i], "--rounds")) rounds = std::atoi(argv[i + 1]);
    if (!std::strcmp(argv[i], "--seconds")) seconds = std::atof(argv[i + 1]);
  }
  at::set_num_threads(1);
  Model ours, theirs;
  Arena arena(ours.model.store());
  std::cout << arena.num_parameters() << " parameters; a step of " << seconds << " padded seconds a rank\n";
  report("forward + CTC + backward", std::max(3, rounds / 3), [&] { ours.step(seconds); });

  Config config = Config::parse("{}");
  auto optimizer = Registry<Optimizer>::instance().create("adamw", config.root(), {arena.num_elements()});
  double norm = 0;
  uint64_t index = 0;
  report("ours: norm for clipping", rounds, [&] { norm += arena.gradient_totals().sum_of_squares; });
  report("ours: update (AdamW, clip folded in)", rounds, [&] {
    optimizer->step({arena.parameters().data_ptr<float>(), arena.num_elements()},
                    {arena.gradients().const_data_ptr<float>(), arena.num_elements()}, arena.segments(), 1e-6, 1e-3,
                    ++index);
  });
  report("ours: zeroing gradients", rounds, [&] { arena.begin_update(); });

  theirs.step(8);
  std::vector<at::Tensor> parameters;
  for (const Parameter& one : theirs.model.store().parameters()) parameters.push_back(one.tensor);
  torch::optim::AdamW adamw(parameters, torch::optim::AdamWOptions(1e-6));
  report("libtorch: clip_grad_norm_", rounds, [&] { norm += torch::nn::utils::clip_grad_norm_(parameters, 1.0); });
  report("libtorch: torch::optim::AdamW::step", rounds, [&] { adamw.step(); });
  return norm >= 0 ? 0 : 1;
}

}  // namespace
}  // namespace rehearse

int main(int argc, char** argv) {
  return rehearse::run(argc, argv);
}
