#include "trainer/engine/model.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "trainer/base/registry.h"

namespace rehearse {
namespace {

std::string show_shape(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (int64_t extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

using Tensors = std::map<std::string, LoadedCheckpoint::Tensor>;

const LoadedCheckpoint::Tensor& find_tensor(const LoadedCheckpoint& checkpoint, const Tensors& tensors,
                                            const Segment& segment) {
  const auto found = tensors.find(segment.name);
  const char* file = &tensors == &checkpoint.ema ? "ema.safetensors" : "model.safetensors";
  const std::string where = (checkpoint.path / file).string() + ": " + segment.name;
  if (found == tensors.end())
    throw DataError(where,
                    ": expected this tensor; found none; is `model.blocks` that of the checkpoint's config.yaml?");
  if (found->second.shape != segment.shape)
    throw DataError(where, ": expected shape ", show_shape(segment.shape), "; found ", show_shape(found->second.shape),
                    "; is `model.blocks` that of the checkpoint's config.yaml?");
  return found->second;
}

// The output of another model: `count` rows of this one's width.
const std::vector<float>& rows_of(const LoadedCheckpoint& checkpoint, const Tensors& tensors, const std::string& name,
                                  int64_t count, size_t width) {
  const auto found = tensors.find(name);
  const size_t expected = static_cast<size_t>(count) * width;
  if (found == tensors.end() || found->second.values.size() != expected)
    throw DataError(checkpoint.path.string(), ": ", name, ": expected ", count, " rows of ", width,
                    " values; found another head; is `model.blocks` that of the checkpoint's config.yaml?");
  return found->second.values;
}

// `flat` is host memory.
void copy_into(at::Tensor& flat, const Segment& segment, const LoadedCheckpoint::Tensor& tensor) {
  std::copy(tensor.values.begin(), tensor.values.end(), flat.data_ptr<float>() + segment.offset);
}

// Parameters and buffers where the CPU can write: the arena's own memory, or copies of a device's.
struct HostWeights {
  at::Tensor parameters, buffers;

  explicit HostWeights(Arena& arena) : parameters(arena.parameters().cpu()), buffers(arena.buffers().cpu()) {}
  void copy_back(Arena& arena) const {
    if (arena.parameters().is_cpu()) return;
    arena.parameters().copy_(parameters);
    arena.buffers().copy_(buffers);
  }
};

}  // namespace

// Where it was named before there were tasks: at the head.
ConfigNode task_node_of(Config& config) {
  ConfigNode root = config.root();
  return root.has("task") ? root.child("task") : root.child("model").child("head");
}

std::string task_type_of(Config& config) {
  ConfigNode node = task_node_of(config);
  const std::string type = node.text("type", kFirstTask);
  expect_one_of(node.where("type"), type, Registry<Task>::instance().names());
  return type;
}

Model::Model(Config& config, uint64_t seed, AllReduceSum all_reduce_sum, at::Device device)
    : Model(config, seed, std::move(all_reduce_sum), device, nullptr) {}

Model::Model(Config& config, uint64_t seed, AllReduceSum all_reduce_sum, at::Device device,
             const LoadedCheckpoint* checkpoint) {
  const Task::Context context{config.root(), seed, std::move(all_reduce_sum), device, checkpoint};
  task_ = Registry<Task>::instance().create(task_type_of(config), task_node_of(config), context);
  arena_ = std::make_unique<Arena>(task_->store());
}

std::unique_ptr<Model> Model::from_checkpoint(const LoadedCheckpoint& checkpoint, at::Device device) {
  const auto text = checkpoint.files.find("config.yaml");
  if (text == checkpoint.files.end()) throw DataError(checkpoint.path.string(), ": expected config.yaml; found none");
  auto config = std::make_unique<Config>(Config::parse(text->second, (checkpoint.path / "config.yaml").string()));
  std::unique_ptr<Model> model(new Model(*config, 0, AllReduceSum{}, device, &checkpoint));
  model->own_config_ = std::move(config);
  model->load_weights(checkpoint, Weights::kForUse);
  return model;
}

void Model::load_weights(const LoadedCheckpoint& checkpoint, Weights which) {
  const Tensors& tensors = which == Weights::kForUse ? checkpoint.weights_to_use() : checkpoint.model;
  HostWeights host(*arena_);
  for (const Segment& segment : arena_->segments())
    copy_into(host.parameters, segment, find_tensor(checkpoint, tensors, segment));
  for (const Segment& segment : arena_->buffer_segments())
    copy_into(host.buffers, segment, find_tensor(checkpoint, tensors, segment));
  host.copy_back(*arena_);
}

std::string Model::adopt(const LoadedCheckpoint& checkpoint) {
  const std::optional<RowMap> map = task_->adopt(checkpoint);
  if (!map) {
    load_weights(checkpoint, Weights::kForUse);
    return "";
  }
  load_rows(checkpoint, *map);
  return map->said;
}

void Model::load_rows(const LoadedCheckpoint& checkpoint, const RowMap& map) {
  const Tensors& tensors = checkpoint.weights_to_use();
  HostWeights host(*arena_);
  for (const Segment& segment : arena_->segments()) {
    if (!segment.name.starts_with(map.prefix)) {
      copy_into(host.parameters, segment, find_tensor(checkpoint, tensors, segment));
      continue;
    }
    const size_t width = segment.length / static_cast<size_t>(map.own_rows);
    const std::vector<float>& old = rows_of(checkpoint, tensors, segment.name, map.old_rows, width);
    for (const auto& [to, from] : map.rows)
      std::copy_n(old.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(from) * width), width,
                  host.parameters.data_ptr<float>() + segment.offset + static_cast<size_t>(to) * width);
  }
  for (const Segment& segment : arena_->buffer_segments())
    copy_into(host.buffers, segment, find_tensor(checkpoint, tensors, segment));
  host.copy_back(*arena_);
}

std::vector<TensorSpan> Model::weights(const at::Tensor& parameters, const at::Tensor& buffers) const {
  std::vector<TensorSpan> spans;
  const auto add = [&](const std::vector<Segment>& segments, const at::Tensor& flat) {
    for (const Segment& segment : segments)
      spans.push_back({segment.name, segment.shape, {flat.const_data_ptr<float>() + segment.offset, segment.length}});
  };
  add(arena_->segments(), parameters);
  add(arena_->buffer_segments(), buffers);
  return spans;
}

}  // namespace rehearse
