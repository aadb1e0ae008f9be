// Checkpoints: a directory that is complete or refused (trainer/checkpoint/CHECKPOINT.md).
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "trainer/base/files.h"
#include "trainer/base/safetensors.h"
#include "trainer/base/state.h"
#include "trainer/checkpoint/checkpoint_folder.h"

namespace rehearse {

// A named float tensor; `values` belongs to the caller.
struct TensorSpan {
  std::string name;
  std::vector<int64_t> shape;
  std::span<const float> values;
};

// Everything that goes into one checkpoint.
struct CheckpointContents {
  uint64_t step = 0;
  std::vector<TensorSpan> model;  // parameters and buffers
  std::vector<TensorSpan> optimizer;
  std::vector<TensorSpan> ema;  // averaged parameters and buffers, by name; empty where there is no average
  State state;                  // sampler, plans, trainer
  std::map<std::string, std::string> files;  // config.yaml and those of the task
};

// Writes the folder `target` through a temporary one beside it; returns it. Packs, hashes and writes one file after the
// other. Throws CommError when a write fails or the disk has no room; what was there before is still there then.
fs::path write_checkpoint(const CheckpointContents& contents, const fs::path& target, FileLayer& files);
// The same into folder/step-00001200.
fs::path save_checkpoint(const CheckpointContents& contents, const fs::path& folder, FileLayer& files);
// CommError when the disk of `folder` lacks the room for it; looks at sizes only.
void expect_room(const CheckpointContents& contents, const fs::path& folder);

// A loaded and verified checkpoint; tensors own their values.
struct LoadedCheckpoint {
  struct Tensor {
    std::vector<int64_t> shape;
    std::vector<float> values;
  };
  fs::path path;
  uint64_t step = 0;
  std::map<std::string, Tensor> model;
  std::map<std::string, Tensor> optimizer;
  std::shared_ptr<const SafetensorsFile> optimizer_file;  // instead, after load_to_go_on()
  std::map<std::string, Tensor> ema;                      // empty where there is no average
  // What recognises and what fine-tuning starts from: the averaged weights where there are any.
  const std::map<std::string, Tensor>& weights_to_use() const { return ema.empty() ? model : ema; }
  State state;
  std::map<std::string, std::string> files;
};

// Whether a load reads the checksums again; a rank whose neighbour on the same host does that looks at sizes alone.
enum class Check { kChecksums, kSizes };
// path: a checkpoint, a run folder or its checkpoints folder (then the best, or else the newest). `with_state` false
// leaves out optimizer and sampler. Throws DataError naming the file that is torn or absent.
LoadedCheckpoint load_checkpoint(const fs::path& path, bool with_state, Check check = Check::kChecksums);
// For who recognises or starts anew: all but the optimizer's state.
LoadedCheckpoint load_for_use(const fs::path& path, Check check = Check::kChecksums);

// For who goes on: the optimizer's state stays in its file, which is checked, and each rank reads what it needs.
LoadedCheckpoint load_to_go_on(const fs::path& path, Check check = Check::kChecksums);
// Values begin … begin + into.size() - 1 of flat optimizer state that has `count` of them. DataError naming file and
// tensor when it is absent, has another number, or holds what is not finite.
void read_optimizer(const LoadedCheckpoint& checkpoint, const std::string& name, uint64_t count, uint64_t begin,
                    std::span<float> into);

// ConfigError for what `checkpoint average` wrote: it has weights, but no optimizer state to go on with.
void expect_resumable(const LoadedCheckpoint& checkpoint);

// The newest that verifies, for --resume auto; reasons of the refused ones are appended to `refused`.
std::optional<LoadedCheckpoint> load_newest(const fs::path& folder, std::vector<std::string>& refused);

// Reads and checks sizes and SHA-256 of every file; DataError "file: expected, found".
void verify_checkpoint(const fs::path& checkpoint);

}  // namespace rehearse
