// What a run is made of, built from its configuration; shared by train, check and doctor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/sampler/batches/batch_planner.h"
#include "trainer/engine/model.h"
#include "trainer/engine/run_options.h"
#include "trainer/engine/update/optimizer.h"
#include "trainer/engine/update/schedule.h"

namespace rehearse {

// Reads every key of the configuration; the last thing it does is to refuse unknown ones. `config` outlives the parts.
struct RunParts {
  // Where the parts live; the default is a world of one on the CPU.
  struct Place {
    AllReduceSum all_reduce_sum;
    at::Device device = at::kCPU;
    int rank = 0, size = 1;
  };
  RunParts(Config& config, const std::string& config_path, const Place& place);

  RunOptions options;
  std::unique_ptr<Model> model;
  std::unique_ptr<ExampleSet> training;
  std::unique_ptr<ExampleSet> validation;  // null when there is none
  std::unique_ptr<Sampler> sampler;
  std::unique_ptr<BatchPlanner> planner;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
};

// N: draws of a run with this budget; 0 when only wall time limits it.
uint64_t planned_draws(const RunOptions& options, const Dataset& dataset);

}  // namespace rehearse
