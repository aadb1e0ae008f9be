#include "trainer/examine/model_cost.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <iostream>

#include "models/acoustic_model.h"
#include "models/observed_cost.h"
#include "models/ops/mixed_ops.h"
#include "trainer/base/files.h"
#include "trainer/base/text/printable.h"
#include "trainer/engine/session.h"
#include "trainer/examine/probe_target.h"

namespace rehearse {
namespace {

constexpr int kWarmUp = 2, kFewest = 5, kMost = 25;
constexpr double kEnough_s = 4;  // of passes, once there are the fewest

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

class CostMeasurement {
 public:
  CostMeasurement(ProbeTarget& target, Probe probe) : target_(target), probe_(std::move(probe)) {
    for (size_t b = 0; b < probe_.input.lengths.size(); ++b) ids_.push_back(b + 1);
  }

  ModelCost take(bool has_times) {
    describe();
    count();
    const auto fields = receptive_fields(*probe_.model, probe_.input.x.size(2), probe_.input.x.size(1));
    for (size_t i = 0; i < fields.size(); ++i) cost_.stages[i].field_frames = fields[i];
    if (has_times) time();
    return std::move(cost_);
  }

 private:
  // Does a step of a stage; the last stage is the loss.
  using Around = std::function<void(size_t stage, bool is_backward, const std::function<void()>& step)>;

  void describe() {
    cost_.input = probe_.input.x.sizes().vec();
    cost_.frame_ms = probe_.frame_ms;
    for (const AcousticModel::BlockSummary& block : probe_.model->summary(probe_.input.x.size(1))) {
      StageCost& stage = cost_.stages.emplace_back();
      stage.name = block.name;
      stage.type = block.name == "head" ? "linear" : block.type;
      stage.shape = {cost_.input[0], block.output_frames, block.output_channels};
      stage.total_stride = block.total_stride;
      stage.parameters = block.num_parameters;
    }
    StageCost& loss = cost_.stages.emplace_back();
    loss.name = "loss";
    loss.type = target_.model->task().terms().loss_phase_title;
  }

  ForwardContext context() {
    target_.model->arena().begin_update();
    return {true, target_.options.seed, ++step_, ids_, target_.options.precision};
  }

  // One training step in which each stage's input is cut from the graph before it.
  void staged_step(const Around& around) {
    const ForwardContext context = this->context();
    const size_t num_stages = probe_.model->num_stages();
    std::vector<Sequence> inputs = {probe_.input}, outputs;
    for (size_t i = 0; i < num_stages; ++i) {
      around(i, false, [&] { outputs.push_back(probe_.model->forward_stage(i, inputs[i], context)); });
      inputs.push_back({outputs[i].x.detach().requires_grad_(true), outputs[i].lengths});
    }
    at::Tensor loss;
    around(num_stages, false, [&] { loss = probe_.loss(inputs[num_stages]); });
    around(num_stages, true, [&] { loss.backward(); });
    for (size_t i = num_stages; i-- > 0;) {
      around(i, true, [&] {  // what it frees is part of its time, as in a whole step
        torch::autograd::backward({outputs[i].x}, {inputs[i + 1].x.grad()});
        inputs.pop_back();
        outputs.pop_back();
      });
    }
  }

  double whole_step_s() {
    const ForwardContext context = this->context();
    const double start = now_s();
    probe_.loss(probe_.model->forward(probe_.input, context)).backward();
    return now_s() - start;
  }

  void count() {
    staged_step([this](size_t stage, bool is_backward, const std::function<void()>& step) {
      const FlopCounter flops;
      const AllocationCounter memory;
      step();
      StageCost& cost = cost_.stages[stage];
      (is_backward ? cost.backward_flops : cost.forward_flops) = flops.flops();
      if (!is_backward) cost.kept_bytes = memory.kept_bytes();
    });
  }

  // Stages and whole steps in turn, so that what slows the machine slows both.
  void time() {
    const size_t count = cost_.stages.size();
    std::vector<std::vector<double>> forward(count), backward(count);
    std::vector<double> whole;
    const Around timed = [&](size_t stage, bool is_backward, const std::function<void()>& step) {
      const double start = now_s();
      step();
      (is_backward ? backward : forward)[stage].push_back(now_s() - start);
    };
    const Around untimed = [](size_t, bool, const std::function<void()>& step) { step(); };
    for (int i = 0; i < kWarmUp; ++i) {
      staged_step(untimed);
      whole_step_s();
    }
    cost_.product_flops_per_s = product_flops_per_s();
    for (const double start = now_s(); cost_.passes < kFewest || (cost_.passes < kMost && now_s() - start < kEnough_s);
         ++cost_.passes) {
      staged_step(timed);
      whole.push_back(whole_step_s());
    }
    for (size_t i = 0; i < count; ++i) {
      cost_.stages[i].forward_s = median(forward[i]);
      cost_.stages[i].backward_s = median(backward[i]);
    }
    cost_.whole_s = median(whole);
  }

  // The best of many: what the model's matrix products can come near to.
  double product_flops_per_s() const {
    constexpr int64_t kFrames = 3000, kChannels = 256;
    constexpr int kTries = 40;
    const at::NoGradGuard no_gradients;
    ForwardContext context;
    context.precision = target_.options.precision;
    const at::Tensor x = at::ones({kFrames, kChannels}, at::kFloat);
    const at::Tensor weight = at::ones({kChannels, kChannels}, at::kFloat);
    double best_s = 1e9;
    for (int i = 0; i < kTries; ++i) {
      const double start = now_s();
      mixed_linear(context, x, weight, {});
      best_s = std::min(best_s, now_s() - start);
    }
    return 2.0 * kFrames * kChannels * kChannels / best_s;
  }

  ProbeTarget& target_;
  Probe probe_;
  std::vector<uint64_t> ids_;
  uint64_t step_ = 0;
  ModelCost cost_;
};

const char* name_of(Precision precision) {
  return precision == Precision::kFull ? "float32" : precision == Precision::kBfloat16 ? "bfloat16" : "float16";
}

int cost_in(const World& world, const ModelCostRequest& request) {
  ProbeTarget target = ProbeTarget::open(request.path, request.overrides);
  const int own = target.options.threads > 0 ? target.options.threads : world.fair_threads();
  at::set_num_threads(request.threads > 0 ? request.threads : own);
  const BatchPlanner::Options& batch = target.options.batch;
  Probe probe = target.probe({request.batch, batch.cost / batch.micro_batches, request.seconds}, "model");
  const std::string size = probe.frame_ms > 0 ? concat(probe.cost, " s") : "";
  ModelCost cost = CostMeasurement(target, std::move(probe)).take(request.has_times);
  cost.example_size = size;
  cost.precision = name_of(target.options.precision);
  cost.threads = at::get_num_threads();
  cost.doubts = target.model->task().model_doubts();
  std::cout << printable_lines(model_cost_text(cost)) << std::flush;
  FileLayer files;
  if (!request.json_path.empty()) replace_text(files, request.json_path, model_cost_json(cost).dump(1) + "\n");
  return kExitOk;
}

}  // namespace

int model_cost(const ModelCostRequest& request) {
  const auto body = [&](World& world, Communicator&) {
    return world.rank() == 0 ? cost_in(world, request) : static_cast<int>(kExitOk);
  };
  const auto prepare = [&](const World& world, CommOptions& comm) {
    comm.timeout_s = 1e6;  // the other ranks wait for the one that looks
    if (world.rank() == 0) expect_writable("--json", request.json_path);
  };
  return run_in_world({.body = body, .prepare = prepare});
}

}  // namespace rehearse
