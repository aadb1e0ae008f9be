#include "trainer/engine/recognizer.h"

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

// The head of another vocabulary: `count` rows of this model's width.
const std::vector<float>& head_rows(const LoadedCheckpoint& checkpoint, const Tensors& tensors, const std::string& name,
                                    int count, size_t width) {
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

bool is_head(const Segment& segment) {
  return segment.name.starts_with("head.");
}

}  // namespace

std::unique_ptr<Tokenizer> tokenizer_of(const LoadedCheckpoint& checkpoint) {
  for (const auto& [name, text] : checkpoint.files)
    if (name.starts_with("tokenizer.")) return load_tokenizer((checkpoint.path / name).string());
  throw DataError(checkpoint.path.string(),
                  ": expected tokenizer.txt, tokenizer.model or that of a plug-in; found none");
}

Recognizer::Recognizer(Config& config, std::unique_ptr<Tokenizer> tokenizer, uint64_t seed, AllReduceSum all_reduce_sum,
                       at::Device device)
    : normalizer_(Normalizer::from(config.root().child("data"))), tokenizer_(std::move(tokenizer)) {
  ConfigNode model = config.root().child("model");
  ConfigNode head = model.child("head");
  Task::Context context{
      config.root().child("features"), model, tokenizer_.get(), seed, std::move(all_reduce_sum), kSampleRateHz, device};
  const std::string type = head.text("type", "ctc");
  task_ = Registry<Task>::instance().create(type, head, context);
  arena_ = std::make_unique<Arena>(task_->store());
}

std::unique_ptr<Recognizer> Recognizer::from_checkpoint(const LoadedCheckpoint& checkpoint, at::Device device) {
  const auto text = checkpoint.files.find("config.yaml");
  if (text == checkpoint.files.end()) throw DataError(checkpoint.path.string(), ": expected config.yaml; found none");
  auto config = std::make_unique<Config>(Config::parse(text->second, (checkpoint.path / "config.yaml").string()));
  auto recognizer = std::make_unique<Recognizer>(*config, tokenizer_of(checkpoint), 0, AllReduceSum{}, device);
  recognizer->own_config_ = std::move(config);
  recognizer->load_weights(checkpoint, Weights::kForUse);
  return recognizer;
}

void Recognizer::load_weights(const LoadedCheckpoint& checkpoint, Weights which) {
  const Tensors& tensors = which == Weights::kForUse ? checkpoint.weights_to_use() : checkpoint.model;
  HostWeights host(*arena_);
  for (const Segment& segment : arena_->segments())
    copy_into(host.parameters, segment, find_tensor(checkpoint, tensors, segment));
  for (const Segment& segment : arena_->buffer_segments())
    copy_into(host.buffers, segment, find_tensor(checkpoint, tensors, segment));
  host.copy_back(*arena_);
}

std::string Recognizer::load_weights_for_new_vocabulary(const LoadedCheckpoint& checkpoint,
                                                        const Tokenizer& old_tokenizer) {
  std::map<std::string, int> old_row;
  for (int token = 0; token < old_tokenizer.size(); ++token) old_row[old_tokenizer.piece(token)] = token;
  std::vector<std::pair<int, int>> rows;  // new row, old row
  for (int token = 0; token < tokenizer_->size(); ++token)
    if (const auto found = old_row.find(tokenizer_->piece(token)); found != old_row.end())
      rows.emplace_back(token, found->second);
  const size_t shared = rows.size();
  rows.emplace_back(tokenizer_->size(), old_tokenizer.size());  // the blank is behind the last token

  const Tensors& tensors = checkpoint.weights_to_use();
  HostWeights host(*arena_);
  for (const Segment& segment : arena_->segments()) {
    if (!is_head(segment)) {
      copy_into(host.parameters, segment, find_tensor(checkpoint, tensors, segment));
      continue;
    }
    const size_t width = segment.length / static_cast<size_t>(tokenizer_->size() + 1);
    const std::vector<float>& old = head_rows(checkpoint, tensors, segment.name, old_tokenizer.size() + 1, width);
    for (const auto& [to, from] : rows)
      std::copy_n(old.begin() + static_cast<ptrdiff_t>(static_cast<size_t>(from) * width), width,
                  host.parameters.data_ptr<float>() + segment.offset + static_cast<size_t>(to) * width);
  }
  for (const Segment& segment : arena_->buffer_segments())
    copy_into(host.buffers, segment, find_tensor(checkpoint, tensors, segment));
  host.copy_back(*arena_);
  return concat("the vocabulary differs from the checkpoint's: ", shared, " of ", tokenizer_->size(),
                " head rows were copied, the others start new");
}

std::vector<TensorSpan> Recognizer::weights(const at::Tensor& parameters, const at::Tensor& buffers) const {
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
