#include "trainer/checkpoint/checkpoint_average.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "trainer/base/error.h"
#include "trainer/checkpoint/checkpoint_diff.h"

namespace rehearse {
namespace {

using nlohmann::json;

// The first thing in which two checkpoints are not the same model; empty: none.
std::string difference_of_models(const LoadedCheckpoint& a, const LoadedCheckpoint& b) {
  std::map<std::string, std::string> all = a.files;
  all.insert(b.files.begin(), b.files.end());
  for (const auto& [name, text] : all) {
    if (name == "config.yaml" || name == "state.json") continue;
    const auto in_a = a.files.find(name), in_b = b.files.find(name);
    if (in_a == a.files.end() || in_b == b.files.end() || in_a->second != in_b->second) return concat("another ", name);
  }
  const auto yaml_of = [](const LoadedCheckpoint& one) {
    const auto found = one.files.find("config.yaml");
    return found == one.files.end() ? std::string() : found->second;
  };
  for (const KeyDifference& key : config_differences(yaml_of(a), yaml_of(b)))
    if (key.key.starts_with("model.") || key.key == "data.normalizer" || key.key == "data.annotations")
      return concat(key.key, " ", key.b, " instead of ", key.a);
  for (const auto& [name, tensor] : a.model) {
    const auto found = b.model.find(name);
    if (found == b.model.end()) return concat("no tensor ", name);
    if (found->second.shape != tensor.shape) return concat("another shape of ", name);
  }
  for (const auto& [name, tensor] : b.model)
    if (!a.model.contains(name)) return concat("a tensor ", name, " more");
  return "";
}

// What recognises takes the place of the trained weights.
void take_weights_to_use(LoadedCheckpoint& checkpoint) {
  if (!checkpoint.ema.empty()) checkpoint.model = std::move(checkpoint.ema);
  checkpoint.ema.clear();
}

// Adds up tensors of checkpoints of one model.
class Sum {
 public:
  void add(LoadedCheckpoint checkpoint) {
    if (count_++ == 0) {
      for (const auto& [name, tensor] : checkpoint.model)
        sums_[name].assign(tensor.values.begin(), tensor.values.end());
      for (auto& [name, tensor] : checkpoint.model) tensor.values = {};
      first_ = std::move(checkpoint);
      return;
    }
    if (const std::string difference = difference_of_models(first_, checkpoint); !difference.empty())
      throw ConfigError(checkpoint.path.string(), ": expected the model of ", first_.path.string(), "; found ",
                        difference, "; average checkpoints of one model");
    for (const auto& [name, tensor] : checkpoint.model) {
      std::vector<double>& sum = sums_.at(name);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(tensor.values[i]);
    }
  }
  // Takes the mean's place in `checkpoint`.
  void write_mean(LoadedCheckpoint& checkpoint) const {
    for (auto& [name, tensor] : checkpoint.model) {
      const std::vector<double>& sum = sums_.at(name);
      for (size_t i = 0; i < sum.size(); ++i) tensor.values[i] = static_cast<float>(sum[i] / count_);
    }
  }

 private:
  LoadedCheckpoint first_;  // without values
  std::map<std::string, std::vector<double>> sums_;
  int count_ = 0;
};

CheckpointContents contents_of(const LoadedCheckpoint& checkpoint) {
  CheckpointContents contents;
  contents.step = checkpoint.step;
  for (const auto& [name, tensor] : checkpoint.model) contents.model.push_back({name, tensor.shape, tensor.values});
  contents.state = checkpoint.state;
  contents.files = checkpoint.files;
  contents.files.erase("state.json");  // written from the state
  return contents;
}

}  // namespace

std::vector<fs::path> newest_checkpoints(const fs::path& folder, size_t count) {
  std::vector<fs::path> all =
      list_checkpoints(fs::is_directory(folder / "checkpoints") ? folder / "checkpoints" : folder);
  if (all.size() < count)
    throw DataError(folder.string(), ": expected at least ", count, " checkpoints; found ", all.size(),
                    "; ask for fewer, or train with a larger checkpoint.keep_last");
  all.resize(count);
  return all;
}

fs::path average_checkpoints(const std::vector<fs::path>& checkpoints, const fs::path& out, FileLayer& files) {
  if (checkpoints.size() < 2)
    throw ConfigError("average: expected at least 2 checkpoints; found ", checkpoints.size(), "; name more of them");
  if (fs::exists(out)) throw ConfigError(out.string(), ": expected a new folder; found that it exists; choose another");
  Sum sum;
  std::set<fs::path> seen;
  json from = json::array();
  fs::path newest;
  uint64_t newest_step = 0;
  bool has_ema = false;
  for (const fs::path& path : checkpoints) {
    LoadedCheckpoint checkpoint = load_checkpoint(path, false);
    if (!seen.insert(fs::canonical(checkpoint.path)).second)
      throw ConfigError(checkpoint.path.string(), ": expected each checkpoint once; found it twice; leave one out");
    if (!from.empty() && checkpoint.ema.empty() == has_ema)
      throw ConfigError(checkpoint.path.string(), ": expected ",
                        has_ema ? "averaged weights (ema.safetensors)" : "no averaged weights", " as in ",
                        newest.string(), "; found the opposite; average checkpoints of one run");
    has_ema = !checkpoint.ema.empty();
    take_weights_to_use(checkpoint);
    from.push_back(checkpoint.path.string());
    if (newest.empty() || checkpoint.step > newest_step) newest = checkpoint.path, newest_step = checkpoint.step;
    sum.add(std::move(checkpoint));
  }
  LoadedCheckpoint mean = load_checkpoint(newest, true);
  take_weights_to_use(mean);
  sum.write_mean(mean);
  mean.state.values["facts"]["averaged_from"] = from;
  const bool has_end_slash = !out.has_filename();
  return write_checkpoint(contents_of(mean), has_end_slash ? out.parent_path() : out, files);
}

}  // namespace rehearse
