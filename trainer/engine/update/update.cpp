#include "trainer/engine/update/update.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "trainer/engine/exchange/tensor_collectives.h"

namespace rehearse {
namespace {

constexpr size_t kAlign = 16;  // floats in 64 bytes
// A slice of so many blocks may be a block longer or shorter; below that a third of the bytes is little.
constexpr size_t kLeastBlocks = 16;
constexpr const char* kAverage = "ema";
constexpr size_t kBlockElements = size_t{64} * 1024;   // that a thread updates at once
constexpr size_t kPieceElements = size_t{256} * 1024;  // of each rank, that travel to rank 0 at once

}  // namespace

std::vector<size_t> shard_bounds(size_t num_elements, int num_shards) {
  const auto count = static_cast<size_t>(num_shards);
  const size_t align = num_elements >= kLeastBlocks * count * kSumBlock ? kSumBlock : kAlign;
  std::vector<size_t> bounds(count + 1, num_elements);
  for (size_t shard = 0; shard < count; ++shard) bounds[shard] = num_elements * shard / count / align * align;
  return bounds;
}

Update::Update(const UpdateOptions& options, Arena& arena, Optimizer& optimizer, Communicator& communicator)
    : options_(options),
      arena_(arena),
      optimizer_(optimizer),
      communicator_(communicator),
      guard_(options.guard),
      loss_scale_(options.loss_scale) {
  const bool is_cut = options.is_sharded && communicator.size() > 1;
  bounds_ = shard_bounds(arena.num_elements(), is_cut ? communicator.size() : 1);
  shard_ = is_cut ? static_cast<size_t>(communicator.rank()) : 0;
  if (options.ema_decay <= 0) return;
  average_ = at::empty({static_cast<int64_t>(length())}, arena.parameters().options());
  average_buffers_ = at::empty_like(arena.buffers());
}

// Squares are added up by whole blocks, so only slices of whole blocks give the norm the same bits.
std::vector<size_t> Update::slices_of_gradient() const {
  const bool are_blocks = std::all_of(bounds_.begin(), bounds_.end() - 1, [](size_t b) { return b % kSumBlock == 0; });
  return is_sharded() && are_blocks ? bounds_ : std::vector<size_t>();
}

Arena::GradientTotals Update::gradient_totals(bool has_slice_alone) {
  if (!has_slice_alone) return arena_.gradient_totals();
  return arena_.gradient_totals(Arena::Slice{
      begin(), begin() + length(), [this](const std::vector<double>& own) {
        const auto bytes = std::as_bytes(std::span(own));
        std::vector<double> all;
        for (const auto& part :
             communicator_.all_gather({bytes.begin(), bytes.end()}, "all_gather (squares of the gradient)").get()) {
          all.resize(all.size() + part.size() / sizeof(double));
          std::memcpy(all.data() + all.size() - part.size() / sizeof(double), part.data(), part.size());
        }
        return all;
      }});
}

// Offsets relative to the slice.
std::vector<Segment> Update::own_segments() const {
  std::vector<Segment> own;
  for (const Segment& segment : arena_.segments()) {
    const size_t from = std::max(segment.offset, begin());
    const size_t to = std::min(segment.offset + segment.length, begin() + length());
    if (from >= to) continue;
    own.push_back(segment);
    own.back().offset = from - begin();
    own.back().length = to - from;
  }
  return own;
}

Update::Result Update::apply(const StepTally& total, double gradient_squares, double lr, uint64_t index) {
  Result result;
  if (total.normalizer <= 0) return result;
  const double normalizer = total.normalizer * loss_scale_.factor();
  result.gradient_norm = std::sqrt(gradient_squares) / normalizer;
  result.outcome = Outcome::kLeftOut;
  if (!std::isfinite(result.gradient_norm) || !std::isfinite(total.loss)) {
    result.is_finite = false;
    result.reason = "the gradient is not finite";
    if (loss_scale_.is_used()) {
      loss_scale_.shrink();
      result.reason += concat("; loss scale ", loss_scale_.factor(), " from here on");
    }
    return result;
  }
  loss_scale_.count_finite();
  result.reason = guard_.judge(total.loss / total.normalizer, result.gradient_norm);
  if (!result.reason.empty()) return result;
  result.outcome = Outcome::kApplied;
  const double clip = options_.clip_norm;
  const double scale = (clip > 0 && result.gradient_norm > clip ? clip / result.gradient_norm : 1.0) / normalizer;
  if (average_.defined() && !is_averaging_) {
    average_.copy_(own_average());
    average_buffers_.copy_(arena_.buffers());
  }
  is_averaging_ = average_.defined();
  arena_.move_buffers(total.micro_batches);
  step_on_threads(lr, scale, index);
  if (average_.defined()) follow_average(index);
  if (is_sharded()) all_gather_slices(communicator_, arena_.parameters(), bounds_, "all_gather (parameters)").get();
  return result;
}

// On the CPU each thread takes blocks of whole segments' values, which depend on nothing but themselves: the same bits
// on any number of threads.
void Update::step_on_threads(double lr, double scale, uint64_t index) {
  const std::span<float> parameters(arena_.parameters().data_ptr<float>() + begin(), length());
  const std::span<const float> gradients(arena_.gradients().const_data_ptr<float>() + begin(), length());
  const std::vector<Segment> segments = own_segments();
  if (!arena_.parameters().is_cpu()) {
    optimizer_.step(parameters, gradients, segments, lr, scale, index);
    return;
  }
  std::vector<Segment> blocks;
  for (const Segment& segment : segments)
    for (size_t at = 0; at < segment.length; at += kBlockElements) {
      blocks.push_back(segment);
      blocks.back().offset += at;
      blocks.back().length = std::min(kBlockElements, segment.length - at);
    }
  at::parallel_for(0, static_cast<int64_t>(blocks.size()), 1, [&](int64_t first, int64_t last) {
    optimizer_.step(parameters, gradients, {blocks.begin() + first, blocks.begin() + last}, lr, scale, index);
  });
}

// The decay grows from 2/11 to its value, so that the first weights are soon forgotten.
void Update::follow_average(uint64_t index) {
  const auto n = static_cast<double>(index);
  const double decay = std::min(options_.ema_decay, (1 + n) / (10 + n));
  average_.lerp_(arena_.parameters().narrow(0, static_cast<int64_t>(begin()), static_cast<int64_t>(length())),
                 1 - decay);
  average_buffers_.lerp_(arena_.buffers(), 1 - decay);
}

at::Tensor Update::own_average() const {
  if (is_averaging_) return average_;
  return arena_.parameters().narrow(0, static_cast<int64_t>(begin()), static_cast<int64_t>(length()));
}

Update::Average Update::average() {
  REHEARSE_CHECK(average_.defined(), "optimizer.ema_decay is above 0");
  at::Tensor whole = at::zeros({static_cast<int64_t>(arena_.num_elements())}, arena_.parameters().options());
  whole.narrow(0, static_cast<int64_t>(begin()), static_cast<int64_t>(length())).copy_(own_average());
  if (is_sharded()) all_gather_slices(communicator_, whole, bounds_, "all_gather (ema)").get();
  return {whole, average_buffers()};
}

// Empty but on rank 0; a piece is all that the others hold of it.
std::vector<float> Update::gather(std::span<const float> own) {
  size_t longest = 0;
  for (size_t rank = 0; rank + 1 < bounds_.size(); ++rank)
    longest = std::max(longest, bounds_[rank + 1] - bounds_[rank]);
  std::vector<float> whole(communicator_.rank() == 0 ? arena_.num_elements() : 0);
  for (size_t from = 0; from < longest; from += kPieceElements) {
    const auto piece = std::as_bytes(
        own.subspan(std::min(from, own.size()), std::min(kPieceElements, own.size() - std::min(from, own.size()))));
    const auto all = communicator_.all_gather({piece.begin(), piece.end()}, "all_gather (optimizer state)").get();
    for (size_t rank = 0; !whole.empty() && rank < all.size(); ++rank)
      if (!all[rank].empty()) std::memcpy(whole.data() + bounds_[rank] + from, all[rank].data(), all[rank].size());
  }
  return whole;
}

std::vector<Update::NamedValues> Update::own_state() {
  std::vector<NamedValues> parts;
  for (const auto& [name, values] : optimizer_.state()) parts.emplace_back(name, values);
  if (!average_.defined()) return parts;
  host_average_ = own_average().cpu();
  parts.emplace_back(kAverage, std::span(host_average_.const_data_ptr<float>(), length()));
  return parts;
}

std::vector<TensorSpan> Update::gather_state(const std::vector<NamedValues>& own) {
  held_.clear();
  std::vector<TensorSpan> spans;
  for (const auto& [name, values] : own) {
    if (is_sharded()) held_.push_back(gather(values));
    if (communicator_.rank() == 0)
      spans.push_back({name,
                       {static_cast<int64_t>(arena_.num_elements())},
                       is_sharded() ? std::span<const float>(held_.back()) : values});
  }
  return spans;
}

void Update::release_state() {
  held_.clear();
  host_average_.reset();
  optimizer_.state_read();
}

void Update::load_state(const LoadedCheckpoint& checkpoint) {
  const auto read = [&](const std::string& name, std::span<float> into) {
    read_optimizer(checkpoint, name, arena_.num_elements(), begin(), into);
  };
  for (auto& [name, values] : optimizer_.state()) read(name, values);
  optimizer_.state_written();
  if (!average_.defined()) return;
  std::vector<float> own(length());
  read(kAverage, own);
  load_average(checkpoint, own);
}

// Buffers of checkpoints from before they were averaged are the live ones of their time: a beginning as good as any.
void Update::load_average(const LoadedCheckpoint& checkpoint, std::vector<float>& parameters) {
  average_.copy_(at::from_blob(parameters.data(), {static_cast<int64_t>(length())}, at::kFloat));
  at::Tensor buffers = arena_.buffers().cpu().clone();
  for (const Segment& segment : arena_.buffer_segments()) {
    const auto found = checkpoint.ema.find(segment.name);
    if (found == checkpoint.ema.end() || found->second.values.size() != segment.length) continue;
    std::copy(found->second.values.begin(), found->second.values.end(), buffers.data_ptr<float>() + segment.offset);
  }
  average_buffers_.copy_(buffers);
  is_averaging_ = true;
}

AveragedWeights::AveragedWeights(Update& update, Arena& arena) : arena_(arena) {
  if (!update.has_average()) return;
  const Update::Average average = update.average();
  live_ = {arena.parameters().clone(), arena.buffers().clone()};
  arena.parameters().copy_(average.parameters);
  arena.buffers().copy_(average.buffers);
}

AveragedWeights::~AveragedWeights() {
  if (!live_.parameters.defined()) return;
  arena_.parameters().copy_(live_.parameters);
  arena_.buffers().copy_(live_.buffers);
}

}  // namespace rehearse
