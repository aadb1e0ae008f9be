// One training run from its configuration to its exit code: builds the parts and hands them to the Trainer.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace rehearse {

struct TrainRequest {
  std::string config_path;
  std::vector<std::string> overrides;  // --set
  std::string resume;                  // "", "auto", a checkpoint or a run folder
  bool strict_resume = false;          // refuse what would not be bit-exact
  std::string init;                    // checkpoint to fine-tune from, or ""
  std::string replay_observations;     // observations.jsonl of another run, or ""
  uint64_t profile_steps = 0;          // steps to draw; 0: none
  std::string version_text;
  std::map<std::string, std::string> versions;
};

// Collective: every rank calls it. Errors end the whole world.
int train(const TrainRequest& request);

// Of the newest checkpoint in the run's folder; 0: none. For who restarts a run and wants to know whether it advances.
uint64_t newest_step(const TrainRequest& request);

// Prints the resolved configuration with the origin of every value after building all parts; throws ConfigError.
std::string check_config(const std::string& config_path, const std::vector<std::string>& overrides, bool with_origin);

}  // namespace rehearse
