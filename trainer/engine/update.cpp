#include "trainer/engine/update.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "trainer/engine/tensor_collectives.h"

namespace rehearse {
namespace {

constexpr size_t kAlign = 16;  // floats in 64 bytes
constexpr const char* kAverage = "ema";

}  // namespace

std::vector<size_t> shard_bounds(size_t num_elements, int num_shards) {
  const auto count = static_cast<size_t>(num_shards);
  std::vector<size_t> bounds(count + 1, num_elements);
  for (size_t shard = 0; shard < count; ++shard) bounds[shard] = num_elements * shard / count / kAlign * kAlign;
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
  if (options.ema_decay > 0) average_ = at::empty({static_cast<int64_t>(length())}, arena.parameters().options());
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
  if (total.tokens <= 0) return result;
  const double normalizer = total.tokens * loss_scale_.factor();
  result.gradient_norm = std::sqrt(gradient_squares) / normalizer;
  result.outcome = Outcome::kLeftOut;
  if (!std::isfinite(result.gradient_norm) || !std::isfinite(total.loss)) {
    result.reason = "the gradient is not finite";
    if (loss_scale_.is_used()) {
      loss_scale_.shrink();
      result.reason += concat("; loss scale ", loss_scale_.factor(), " from here on");
    }
    return result;
  }
  loss_scale_.count_finite();
  result.reason = guard_.judge(total.loss / total.tokens, result.gradient_norm);
  if (!result.reason.empty()) return result;
  result.outcome = Outcome::kApplied;
  const double clip = options_.clip_norm;
  const double scale = (clip > 0 && result.gradient_norm > clip ? clip / result.gradient_norm : 1.0) / normalizer;
  if (average_.defined() && !is_averaging_) average_.copy_(own_average());
  is_averaging_ = average_.defined();
  optimizer_.step({arena_.parameters().data_ptr<float>() + begin(), length()},
                  {arena_.gradients().const_data_ptr<float>() + begin(), length()}, own_segments(), lr, scale, index);
  if (average_.defined()) follow_average(index);
  if (is_sharded()) all_gather_slices(communicator_, arena_.parameters(), bounds_, "all_gather (parameters)").get();
  return result;
}

// The decay grows from 2/11 to its value, so that the first weights are soon forgotten.
void Update::follow_average(uint64_t index) {
  const auto n = static_cast<double>(index);
  const double decay = std::min(options_.ema_decay, (1 + n) / (10 + n));
  average_.lerp_(arena_.parameters().narrow(0, static_cast<int64_t>(begin()), static_cast<int64_t>(length())),
                 1 - decay);
}

at::Tensor Update::own_average() const {
  if (is_averaging_) return average_;
  return arena_.parameters().narrow(0, static_cast<int64_t>(begin()), static_cast<int64_t>(length()));
}

at::Tensor Update::average() {
  REHEARSE_CHECK(average_.defined(), "optimizer.ema_decay is above 0");
  at::Tensor whole = at::zeros({static_cast<int64_t>(arena_.num_elements())}, arena_.parameters().options());
  whole.narrow(0, static_cast<int64_t>(begin()), static_cast<int64_t>(length())).copy_(own_average());
  if (is_sharded()) all_gather_slices(communicator_, whole, bounds_, "all_gather (ema)").get();
  return whole;
}

std::vector<float> Update::gather(std::span<const float> own) {
  std::vector<float> whole(arena_.num_elements());
  std::copy(own.begin(), own.end(), whole.begin() + static_cast<ptrdiff_t>(begin()));
  communicator_.all_gather_slices(whole, bounds_, "all_gather (optimizer state)").get();
  return whole;
}

std::vector<TensorSpan> Update::state() {
  const auto elements = static_cast<int64_t>(arena_.num_elements());
  auto parts = optimizer_.state();
  if (average_.defined()) {
    host_average_ = own_average().cpu();
    parts.emplace_back(kAverage, std::span(host_average_.data_ptr<float>(), length()));
  }
  held_.clear();
  std::vector<TensorSpan> spans;
  for (const auto& [name, values] : parts) {
    std::span<const float> whole = values;
    if (is_sharded()) {
      std::vector<float> gathered = gather(values);
      if (communicator_.rank() == 0) held_.push_back(std::move(gathered));
      whole = communicator_.rank() == 0 ? std::span<const float>(held_.back()) : std::span<const float>();
    }
    spans.push_back({name, {elements}, whole});
  }
  return spans;
}

void Update::release_state() {
  held_.clear();
  host_average_.reset();
}

void Update::load_state(const LoadedCheckpoint& checkpoint) {
  const auto find = [&](const std::string& name) -> const std::vector<float>& {
    const auto found = checkpoint.optimizer.find(name);
    if (found == checkpoint.optimizer.end() || found->second.values.size() != arena_.num_elements())
      throw DataError((checkpoint.path / "optimizer.safetensors").string(), ": expected ", arena_.num_elements(),
                      " values of \"", name, "\"; found others; start a new run with --init to use the weights alone");
    return found->second.values;
  };
  for (auto& [name, values] : optimizer_.state())
    std::copy_n(find(name).begin() + static_cast<ptrdiff_t>(begin()), length(), values.begin());
  optimizer_.state_written();
  if (!average_.defined()) return;
  std::vector<float> average(find(kAverage));
  average_.copy_(at::from_blob(average.data() + begin(), {static_cast<int64_t>(length())}, at::kFloat));
  is_averaging_ = true;
}

AveragedWeights::AveragedWeights(Update& update, Arena& arena) : arena_(arena) {
  if (!update.has_average()) return;
  const at::Tensor average = update.average();
  live_ = arena.parameters().clone();
  arena.parameters().copy_(average);
}

AveragedWeights::~AveragedWeights() {
  if (live_.defined()) arena_.parameters().copy_(live_);
}

}  // namespace rehearse
