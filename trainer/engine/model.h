// A task's model that can be trained or used: the task and its weights in the arena.
#pragma once

#include <memory>
#include <string>

#include "trainer/checkpoint/checkpoint.h"
#include "trainer/engine/update/arena.h"
#include "trainer/tasks/task.h"

namespace rehearse {

// `task`, and what its type is; kFirstTask where the configuration names none.
ConfigNode task_node_of(Config& config);
std::string task_type_of(Config& config);

class Model {
 public:
  // Reads `task`, `model` and what the task reads of the configuration, which outlives it; weights are initialised from
  // `seed`.
  Model(Config& config, uint64_t seed, AllReduceSum all_reduce_sum = {}, at::Device device = at::kCPU);
  // The model of a checkpoint, with its own configuration, files and weights.
  static std::unique_ptr<Model> from_checkpoint(const LoadedCheckpoint& checkpoint, at::Device device = at::kCPU);

  // Every tensor must be there with its shape: DataError else. kTrained goes on training, kForUse takes the averaged
  // weights where there are any.
  enum class Weights { kTrained, kForUse };
  void load_weights(const LoadedCheckpoint& checkpoint, Weights which);
  // For fine-tuning: kForUse, or where the task's output is another one, of its rows those that both have; other rows
  // stay as initialised, everything else must fit. Returns what was done where it was not all; else nothing.
  std::string adopt(const LoadedCheckpoint& checkpoint);
  // For a checkpoint: views of parameters and buffers that lie on the host in the arena's layout.
  std::vector<TensorSpan> weights(const at::Tensor& parameters, const at::Tensor& buffers) const;

  Task& task() { return *task_; }
  const Task& task() const { return *task_; }
  Arena& arena() { return *arena_; }

 private:
  Model(Config& config, uint64_t seed, AllReduceSum all_reduce_sum, at::Device device,
        const LoadedCheckpoint* checkpoint);
  void load_rows(const LoadedCheckpoint& checkpoint, const RowMap& map);

  std::unique_ptr<Task> task_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Config> own_config_;  // of a checkpoint
};

// The model's task as the type that a verb needs; ConfigError naming both where it is another.
template <class T>
T& task_as(Model& model, const char* verb) {
  if (auto* task = dynamic_cast<T*>(&model.task())) return *task;
  throw ConfigError(verb, ": expected a checkpoint of another task; found one of task ", model.task().terms().task,
                    "; see the verbs of that task in rehearse --help");
}

}  // namespace rehearse
