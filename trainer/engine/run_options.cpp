#include "trainer/engine/run_options.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <span>
#include <utility>

#include "trainer/base/config/config_tree.h"
#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/observe/terms.h"

namespace rehearse {
namespace {

// Between CPU ranks a sum of a bucket costs what its bytes cost; a GPU's launches and NCCL's steps want more at once.
constexpr int64_t kCpuBucketBytes = int64_t{1} << 20, kGpuBucketBytes = int64_t{25} << 20;

// What base.yaml leaves empty is missing in the run's own file, not on a line of base.yaml.
[[noreturn]] void fail_missing(const ConfigNode& root, const std::string& path_expected_found) {
  throw ConfigError(root.where(), ": ", path_expected_found);
}

void read_data(ConfigNode root, RunOptions& options) {
  options.max_rejected_share = max_rejected_share_of(root);
  options.loader_threads = static_cast<int>(root.child("data").child("loader").integer("threads", 1, {1, 256}));
}

void read_budget(ConfigNode root, RunOptions& options) {
  ConfigNode budget = root.child("budget");
  options.budget.steps = budget.integer("steps", 0, {0, int64_t{1} << 40});
  options.budget.draws = budget.integer("draws", 0, {0, int64_t{1} << 50});
  options.budget.passes = budget.number("passes", 0, {0, 1e6});
  options.budget.minutes = budget.number("minutes", 0, {0, 1e7});
  if (options.budget.steps == 0 && options.budget.draws == 0 && options.budget.passes == 0 &&
      options.budget.minutes == 0)
    fail_missing(root, "budget: expected one of budget.steps, draws, passes or minutes above 0; found none");
}

void read_cadence(ConfigNode root, RunOptions& options) {
  ConfigNode validation = root.child("validation");
  options.validate_every_steps = validation.integer("every_steps", 0, {0, int64_t{1} << 40});
  options.validate_every_minutes = validation.number("every_minutes", 10, {0, 1e6});
  options.validation_batch = validation.number("batch_seconds", 120, {1, 1e5});
  options.early_stop_patience = validation.integer("early_stop_patience", 0, {0, 1000000});
  if (options.early_stop_patience > 0 && options.validate_every_steps == 0 && options.validate_every_minutes == 0)
    validation.fail("early_stop_patience",
                    "expected every_steps or every_minutes above 0 beside it; found neither, so"
                    " nothing could stop early");
  ConfigNode checkpoint = root.child("checkpoint");
  options.save_every_steps = checkpoint.integer("every_steps", 0, {0, int64_t{1} << 40});
  options.save_every_minutes = checkpoint.number("every_minutes", 5, {0, 1e6});
  options.keep_last = checkpoint.integer("keep_last", 2, {1, 1000000});
  options.keep_every_steps = checkpoint.integer("keep_every_steps", 0, {0, int64_t{1} << 40});
  options.keep_best = checkpoint.boolean("keep_best", true);
  ConfigNode comm = root.child("comm");
  options.comm = CommLimits::from(comm);
  options.bucket_bytes = comm.integer("bucket_kb", 0, {0, 1 << 20}) * 1024;
  if (options.bucket_bytes == 0) options.bucket_bytes = options.device == "cpu" ? kCpuBucketBytes : kGpuBucketBytes;
  options.first_bucket_bytes = comm.integer("first_bucket_kb", 256, {0, 1 << 20}) * 1024;
  options.last_bucket_bytes = comm.integer("last_bucket_kb", 256, {0, 1 << 20}) * 1024;
  options.checksum_every_steps = comm.integer("checksum_every_steps", 100, {0, int64_t{1} << 40});
  ConfigNode log = root.child("log");
  options.log_every_steps = log.integer("every_steps", 10, {1, 1000000});
  options.log_every_s = log.number("every_s", 10, {0, 1e6});
  options.log_observations = log.boolean("observations", false);
}

Precision precision_from(ConfigNode root) {
  const std::string name = root.choice("precision", "float32", {"float32", "bfloat16", "float16"});
  if (name == "float32") return Precision::kFull;
  return name == "bfloat16" ? Precision::kBfloat16 : Precision::kFloat16;
}

// What the curriculum's rules had built in before it was to be chosen.
constexpr std::pair<const char*, double> kCurriculumConstants[] = {
    {"good_median", 0.20}, {"cut_min", 0.5},           {"cut_mads", 6},   {"cut_max", 0.9},
    {"strikes", 2},        {"quarantine_share", 0.25}, {"trim_max", 0.08}};

// Keys that came after the first checkpoints: where they ask for nothing, the trajectory is that of a configuration
// without them. And `shard` and `max_left_out`: who updates what, and when to give up, is not what is computed.
void drop_what_changes_nothing(ConfigValue& root) {
  const auto drop = [](ConfigValue& map, const std::string& key, auto asks_for_nothing) {
    std::erase_if(map.map, [&](const auto& pair) { return pair.first == key && asks_for_nothing(*pair.second); });
  };
  const auto is = [](const char* text) { return [text](const ConfigValue& value) { return value.scalar == text; }; };
  const auto is_number = [](double number) {
    return [number](const ConfigValue& value) { return std::strtod(value.scalar.c_str(), nullptr) == number; };
  };
  const auto is_empty = [](const ConfigValue& value) { return value.map.empty() && value.list.empty(); };
  const ConfigValue* device = root.find("device");  // only as it was once
  const bool is_cpu = !device || device->scalar == "cpu";
  drop(root, "deterministic", [is_cpu](const ConfigValue& value) { return is_cpu || value.scalar == "true"; });
  drop(root, "precision", is("float32"));
  if (const ConfigValue* model = root.find("model"))
    if (const ConfigValue* blocks = model->find("blocks"))
      for (const auto& block : blocks->list) {
        for (auto& [key, value] : block->map)
          if (key == "norm_groups") key = "groups";  // its first name
        drop(*block, "shortcut", is("plain"));
        drop(*block, "bias", is("true"));
      }
  if (const ConfigValue* task = root.find("task"))
    if (const ConfigValue* type = task->find("type"); type && task->map.size() == 1)
      drop(root, "task", [type](const ConfigValue&) { return type->scalar == kFirstTask; });
  if (ConfigValue* curriculum = root.find("curriculum"))
    for (const auto& [key, usual] : kCurriculumConstants) drop(*curriculum, key, is_number(usual));
  if (ConfigValue* data = root.find("data")) {
    const ConfigValue* normalizer = data->find("normalizer");
    const bool is_read = normalizer && normalizer->scalar == "basic/2";
    drop(*data, "annotations", [is_read](const ConfigValue&) { return !is_read; });
  }
  ConfigValue* optimizer = root.find("optimizer");
  if (!optimizer) return;
  for (const char* key : {"shard", "max_left_out"}) drop(*optimizer, key, [](const ConfigValue&) { return true; });
  drop(*optimizer, "reduce_dtype", is("float32"));
  drop(*optimizer, "ema_decay", is("0"));
  drop(*optimizer, "lr_scale", is_empty);
  drop(*optimizer, "frozen", is_empty);
  drop(*optimizer, "guard", [](const ConfigValue& guard) {
    const ConfigValue* z_score = guard.find("z_score");
    return !z_score || z_score->scalar == "0";
  });
}

void sort_keys(ConfigValue& value) {
  std::sort(value.map.begin(), value.map.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [key, one] : value.map) sort_keys(*one);
  for (auto& one : value.list) sort_keys(*one);
}

}  // namespace

// The grace ends before mpirun's own patience with survivors does (4 s with launch/run.sh).
CommLimits CommLimits::from(ConfigNode comm) {
  return {comm.number("timeout_s", 300, {0.5, 1e6}), comm.number("term_grace_s", 3, {0.5, 1e6}),
          comm.boolean("share_device", false)};
}

double max_rejected_share_of(ConfigNode root) {
  return root.child("data").number("max_rejected_share", 0.2, {0.0, 1.0});
}

UpdateOptions UpdateOptions::from(ConfigNode optimizer, Precision precision) {
  UpdateOptions options;
  options.clip_norm = optimizer.number("clip_norm", 1.0, {0, 1e9});
  options.is_sharded = optimizer.boolean("shard", false);
  options.ema_decay = optimizer.number("ema_decay", 0, {0, 0.999999});
  options.max_left_out = optimizer.integer("max_left_out", 50, {1, 1000000000});
  options.guard = OutlierGuard::Options::from(optimizer);
  if (precision == Precision::kFloat16) options.loss_scale = LossScale::Options::from(optimizer);
  return options;
}

std::string run_folder(Config& config, const std::string& config_path) {
  const std::string folder = config.root().child("run").text("folder", "");
  return folder.empty() ? "runs/" + fs::path(config_path).stem().string() : folder;
}

RunOptions RunOptions::from(Config& config, const std::string& config_path) {
  ConfigNode root = config.root();
  RunOptions options;
  options.seed = static_cast<uint64_t>(root.integer("seed", 1, {0, std::numeric_limits<int64_t>::max()}));
  options.device = root.choice("device", "cpu", {"cpu", "cuda"});
  root.boolean("deterministic", true);  // read where the device is opened
  options.precision = precision_from(root);
  options.threads = static_cast<int>(root.integer("threads", 0, {0, 1024}));
  options.folder = run_folder(config, config_path);
  read_data(root, options);
  ConfigNode batch = root.child("batch"), curriculum = root.child("curriculum");
  options.batch = BatchPlanner::Options::from(batch, curriculum);
  ConfigNode optimizer = root.child("optimizer");
  options.lr = optimizer.number("lr", 0.002, {0, 1000});
  options.reduce_as_bfloat16 = optimizer.choice("reduce_dtype", "float32", {"float32", "bfloat16"}) == "bfloat16";
  options.update = UpdateOptions::from(optimizer, options.precision);
  read_budget(root, options);
  read_cadence(root, options);
  return options;
}

bool is_outside_trajectory(const std::string& key) {
  static const std::set<std::string> kOutside = {
      "run", "threads", "device", "deterministic", "budget", "validation", "checkpoint", "comm", "log"};
  return kOutside.contains(key.substr(0, key.find('.'))) || key.starts_with("data.valid") ||
         key.starts_with("data.loader");
}

namespace {

std::unique_ptr<ConfigValue> without_outside(const Config& config, const std::set<std::string>& kept = {}) {
  auto copy = config.value().clone();
  std::erase_if(copy->map,
                [&](const auto& pair) { return is_outside_trajectory(pair.first) && !kept.contains(pair.first); });
  if (ConfigValue* data = copy->find("data"))
    std::erase_if(data->map, [](const auto& pair) { return is_outside_trajectory("data." + pair.first); });
  return copy;
}

// Checkpoints written before keys were sorted have the hash in the order of the file.
enum class KeyOrder { kSorted, kAsInFile };

std::string hash_of(ConfigValue& inside, KeyOrder order) {
  drop_what_changes_nothing(inside);
  if (order == KeyOrder::kSorted) sort_keys(inside);
  const std::string text = print_yaml(inside, false);
  return sha256_of(std::as_bytes(std::span(text)));
}

}  // namespace

std::string trajectory_hash(const Config& config) {
  return hash_of(*without_outside(config), KeyOrder::kSorted);
}

bool is_trajectory_of(const Config& config, const std::string& saved_hash) {
  if (saved_hash == trajectory_hash(config)) return true;
  struct Place {
    const char* device;
    const char* deterministic;
  };
  for (const Place place : {Place{"cpu", "true"}, Place{"cuda", "true"}, Place{"cuda", "false"}}) {
    const auto copy = without_outside(config, {"device", "deterministic"});
    if (ConfigValue* device = copy->find("device")) device->scalar = place.device;
    if (ConfigValue* deterministic = copy->find("deterministic")) deterministic->scalar = place.deterministic;
    for (const KeyOrder order : {KeyOrder::kSorted, KeyOrder::kAsInFile})
      if (saved_hash == hash_of(*copy->clone(), order)) return true;
  }
  return false;
}

}  // namespace rehearse
