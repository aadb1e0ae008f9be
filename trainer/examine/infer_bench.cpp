#include "trainer/examine/infer_bench.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <numeric>

#include "models/observed_cost.h"
#include "trainer/base/files.h"
#include "trainer/engine/session.h"
#include "trainer/examine/probe_target.h"

namespace rehearse {
namespace {

constexpr int kWarmUp = 3;

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

Precision precision_named(const std::string& name) {
  return name == "bfloat16" ? Precision::kBfloat16 : name == "float16" ? Precision::kFloat16 : Precision::kFull;
}

struct InferFigures {
  double cost = 0;           // of one pass: seconds of audio, pictures
  bool is_sound = false;     // cost is time
  std::vector<double> took;  // in seconds, ascending
  int64_t allocations = 0, allocated_bytes = 0;

  double total_s() const { return std::accumulate(took.begin(), took.end(), 0.0); }
  double cost_per_s() const { return cost * static_cast<double>(took.size()) / total_s(); }
  // The smallest time that this share of the passes did not exceed.
  double percentile(double share) const {
    return took[static_cast<size_t>(std::ceil(share * static_cast<double>(took.size()))) - 1];
  }
};

InferFigures measure(const Probe& probe, const InferBenchRequest& request) {
  const at::NoGradGuard no_gradients;
  const Precision precision = precision_named(request.precision);
  InferFigures figures;
  figures.cost = probe.cost * static_cast<double>(request.batch);
  figures.is_sound = probe.frame_ms > 0;
  for (int i = 0; i < kWarmUp; ++i) probe.answer(precision);
  for (int i = 0; i < request.iterations; ++i) {
    const double start = now_s();
    probe.answer(precision);
    figures.took.push_back(now_s() - start);
  }
  std::ranges::sort(figures.took);
  const AllocationCounter memory;
  probe.answer(precision);
  figures.allocations = memory.allocations();
  figures.allocated_bytes = memory.bytes();
  return figures;
}

std::string text_of(const InferFigures& figures, const InferBenchRequest& request, const Probe& probe,
                    const TaskTerms& terms) {
  const int threads = at::get_num_threads();
  std::string text = concat("batch of ", request.batch, figures.is_sound ? concat(" x ", probe.cost, " s") : "", "; ",
                            threads, threads == 1 ? " thread, " : " threads, ", request.precision, "; ",
                            request.iterations, " passes of front-end and model, nothing decoded\n");
  char line[256];
  if (figures.is_sound) {
    std::snprintf(line, sizeof line, "real-time factor %.5f, ", 1 / figures.cost_per_s());
    text += line;
  }
  std::snprintf(line, sizeof line, "%.0f %s\nlatency: p50 %.2f ms, p95 %.2f ms, p99 %.2f ms, slowest %.2f ms\n",
                figures.cost_per_s(), terms.speed_title.c_str(), 1000 * figures.percentile(0.5),
                1000 * figures.percentile(0.95), 1000 * figures.percentile(0.99), 1000 * figures.took.back());
  text += line;
  std::snprintf(line, sizeof line, "memory of a pass: %lld allocations, %.1f MiB in all\n",
                static_cast<long long>(figures.allocations), static_cast<double>(figures.allocated_bytes) / (1 << 20));
  return text + line;
}

nlohmann::json json_of(const InferFigures& figures, const InferBenchRequest& request, const Probe& probe,
                       const TaskTerms& terms) {
  nlohmann::json json = {{"task", terms.task},
                         {"batch", request.batch},
                         {"cost", probe.cost},
                         {"threads", at::get_num_threads()},
                         {"precision", request.precision},
                         {"iterations", request.iterations},
                         {"cost_per_s", figures.cost_per_s()},
                         {"cost_per_s_title", terms.speed_title},
                         {"p50_s", figures.percentile(0.5)},
                         {"p95_s", figures.percentile(0.95)},
                         {"p99_s", figures.percentile(0.99)},
                         {"slowest_s", figures.took.back()},
                         {"allocations", figures.allocations},
                         {"allocated_bytes", figures.allocated_bytes}};
  if (figures.is_sound) json["real_time_factor"] = 1 / figures.cost_per_s();
  return json;
}

int bench_in(const World& world, const InferBenchRequest& request) {
  at::set_num_threads(request.threads > 0 ? request.threads : world.fair_threads());
  ProbeTarget target = ProbeTarget::open(request.path, request.overrides);
  target.model->task().keep_weights();
  const Probe probe = target.probe({request.batch, 1, request.seconds}, "bench infer");
  const TaskTerms& terms = target.model->task().terms();
  const InferFigures figures = measure(probe, request);
  std::cout << text_of(figures, request, probe, terms) << std::flush;
  FileLayer files;
  if (!request.json_path.empty())
    replace_text(files, request.json_path, json_of(figures, request, probe, terms).dump(1) + "\n");
  return kExitOk;
}

}  // namespace

int bench_infer(const InferBenchRequest& request) {
  const auto body = [&](World& world, Communicator&) {
    return world.rank() == 0 ? bench_in(world, request) : static_cast<int>(kExitOk);
  };
  const auto prepare = [&](const World& world, CommOptions& comm) {
    comm.timeout_s = 1e6;  // the other ranks wait for the one that measures
    if (world.rank() == 0) expect_writable("--json", request.json_path);
  };
  return run_in_world({.body = body, .prepare = prepare});
}

}  // namespace rehearse
