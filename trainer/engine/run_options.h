// What one run is, read from its configuration. Parts (model, sampler, optimizer …) read their own maps.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/sampler/batches/batch_planner.h"
#include "trainer/base/config/config.h"
#include "trainer/engine/update/update_options.h"

namespace rehearse {

struct BudgetOptions {
  int64_t steps = 0;
  int64_t draws = 0;
  double passes = 0;
  double minutes = 0;
};

// How long the ranks wait for each other, in seconds, and whether they may share a device.
struct CommLimits {
  double timeout_s = 0;     // of one collective
  double term_grace_s = 0;  // of one collective once a stop signal has come
  bool may_share_device = false;
  static CommLimits from(ConfigNode comm);
};

struct RunOptions {
  uint64_t seed = 1;
  std::string device = "cpu";
  int threads = 0;
  std::string folder;

  double max_rejected_share = 0.2;  // of a domain
  int loader_threads = 1;
  BatchPlanner::Options batch;

  Precision precision = Precision::kFull;
  double lr = 0;
  bool reduce_as_bfloat16 = false;
  UpdateOptions update;
  BudgetOptions budget;

  int64_t validate_every_steps = 0;
  double validate_every_minutes = 0;
  double validation_batch = 120;  // padded cost
  int64_t early_stop_patience = 0;

  int64_t save_every_steps = 0;
  double save_every_minutes = 0;
  int64_t keep_last = 2;
  int64_t keep_every_steps = 0;
  bool keep_best = true;

  CommLimits comm;
  int64_t bucket_bytes = 0, first_bucket_bytes = 0, last_bucket_bytes = 0;
  int64_t checksum_every_steps = 0;
  int64_t log_every_steps = 10;
  double log_every_s = 10;
  bool log_observations = false;

  // config_path names the default run folder.
  static RunOptions from(Config& config, const std::string& config_path);
};

// run.folder, or else runs/<name of the configuration>.
std::string run_folder(Config& config, const std::string& config_path);
// Budget, device, logging, validation, saving, loader threads and communication: a resumed run may have other values.
// key: its path, "budget.steps".
bool is_outside_trajectory(const std::string& key);
// data.max_rejected_share.
double max_rejected_share_of(ConfigNode root);
// SHA-256 over the resolved keys that change the trajectory. Call it once all parts have read their options.
std::string trajectory_hash(const Config& config);
// Whether a checkpoint with this hash is of the configuration's trajectory; knows how it was once computed: with the
// device in it, and in the order of the file.
bool is_trajectory_of(const Config& config, const std::string& saved_hash);

}  // namespace rehearse
