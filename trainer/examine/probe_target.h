// The model that `rehearse model` and `bench infer` look at, and the batch of noise that they look at it with.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "trainer/engine/model.h"
#include "trainer/engine/run_options.h"

namespace rehearse {

struct ProbeTarget {
  std::unique_ptr<Config> config;  // of a checkpoint, as its run had it
  RunOptions options;
  std::unique_ptr<Model> model;

  // `path`: a configuration (*.yaml, *.yml), or a checkpoint or run folder, which takes no overrides.
  static ProbeTarget open(const std::string& path, const std::vector<std::string>& overrides);
  // ConfigError where the task has none.
  Probe probe(const ProbeRequest& request, const std::string& verb);
};

}  // namespace rehearse
