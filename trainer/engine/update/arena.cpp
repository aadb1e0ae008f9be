#include "trainer/engine/update/arena.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <numeric>

#include "models/kernels/device_memory.h"

namespace rehearse {
namespace {

constexpr size_t kAlignBytes = 64;

// Appends a segment at the next aligned offset; returns the end.
size_t place(std::vector<Segment>& segments, const std::string& name, const at::Tensor& tensor, bool is_decayed,
             size_t end) {
  const size_t align = kAlignBytes / tensor.element_size();
  Segment segment;
  segment.name = name;
  segment.shape = tensor.sizes().vec();
  segment.offset = (end + align - 1) / align * align;
  segment.length = static_cast<size_t>(tensor.numel());
  segment.is_decayed = is_decayed;
  segments.push_back(segment);
  return segment.offset + segment.length;
}

size_t padded(size_t count, const at::TensorOptions& options) {
  const size_t align = kAlignBytes / options.dtype().itemsize();
  return (count + align - 1) / align * align;
}

at::Tensor view_of(const at::Tensor& flat, const Segment& segment) {
  return flat.narrow(0, static_cast<int64_t>(segment.offset), static_cast<int64_t>(segment.length)).view(segment.shape);
}

// sum_of_squares() of each block: the same bits on any number of threads.
std::vector<double> squares_of_blocks(std::span<const float> values) {
  std::vector<double> partials((values.size() + kSumBlock - 1) / kSumBlock);
  at::parallel_for(0, static_cast<int64_t>(partials.size()), 1, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i)
      partials[i] = sum_of_squares(values.subspan(i * kSumBlock, std::min(kSumBlock, values.size() - i * kSumBlock)));
  });
  return partials;
}

}  // namespace

Arena::Arena(ParameterStore& store) {
  REHEARSE_CHECK(!store.parameters().empty(), "a model has parameters");
  const at::TensorOptions options = store.parameters().front().tensor.options().requires_grad(false);
  size_t end = 0;
  for (auto parameter = store.parameters().rbegin(); parameter != store.parameters().rend(); ++parameter) {
    end = place(segments_, parameter->name, parameter->tensor, parameter->is_decayed, end);
    tensors_.push_back(parameter->tensor);
  }
  num_elements_ = padded(end, options);
  parameters_ = at::zeros({static_cast<int64_t>(num_elements_)}, options);
  gradients_ = at::zeros({static_cast<int64_t>(num_elements_ + kTail)}, options);
  for (size_t i = 0; i < segments_.size(); ++i) {
    at::Tensor view = view_of(parameters_, segments_[i]);
    view.copy_(tensors_[i].detach());
    tensors_[i].set_data(view);
    tensors_[i].mutable_grad() = view_of(gradients_, segments_[i]);
  }
  add_buffers(store.buffers());
}

void Arena::add_buffers(std::vector<Buffer>& buffers) {
  size_t end = 0;
  for (const Buffer& buffer : buffers) end = place(buffer_segments_, buffer.name, buffer.tensor, false, end);
  buffers_ = at::zeros({static_cast<int64_t>(padded(end, parameters_.options()))}, parameters_.options());
  const auto has = [&](at::Tensor Buffer::*part) {
    return std::any_of(buffers.begin(), buffers.end(), [&](const Buffer& one) { return (one.*part).defined(); });
  };
  if (has(&Buffer::next)) next_buffers_ = at::zeros_like(buffers_);
  if (has(&Buffer::sum)) buffer_sums_ = at::zeros_like(buffers_);
  for (size_t i = 0; i < buffers.size(); ++i) {
    const at::Tensor view = view_of(buffers_, buffer_segments_[i]);
    view.copy_(buffers[i].tensor);
    buffers[i].tensor.set_data(view);
    if (buffers[i].next.defined()) buffers[i].next.set_data(view_of(next_buffers_, buffer_segments_[i]));
    if (!buffers[i].sum.defined()) continue;
    buffers[i].sum.set_data(view_of(buffer_sums_, buffer_segments_[i]));
    averaged_.push_back(i);
  }
  begin_update();
}

// Whatever this update's forward passes have left for its buffers, on all of which the update depends.
at::Tensor Arena::measured() const {
  if (!next_buffers_.defined()) return buffer_sums_;
  return buffer_sums_.defined() ? at::cat({next_buffers_, buffer_sums_}) : next_buffers_;
}

void Arena::move_buffers(double num_micro_batches) {
  if (next_buffers_.defined()) buffers_.copy_(next_buffers_);  // equal where nothing moves it
  for (size_t i : averaged_)
    if (!buffer_segments_[i].is_frozen && num_micro_batches > 0)
      view_of(buffers_, buffer_segments_[i])
          .lerp_(view_of(buffer_sums_, buffer_segments_[i]) / num_micro_batches, kBufferMomentum);
}

void Arena::reorder(const std::vector<size_t>& order) {
  REHEARSE_CHECK(order.size() == segments_.size(), "an order names every segment once");
  const at::Tensor old_parameters = parameters_, old_gradients = gradients_;
  const std::vector<Segment> old_segments = std::move(segments_);
  const std::vector<at::Tensor> old_tensors = std::move(tensors_);
  segments_.clear();
  tensors_.clear();
  size_t end = 0;
  for (const size_t index : order) {
    const Segment& old = old_segments.at(index);
    end = place(segments_, old.name, old_tensors[index], old.is_decayed, end);
    segments_.back().lr_scale = old.lr_scale;
    segments_.back().is_frozen = old.is_frozen;
    tensors_.push_back(old_tensors[index]);
  }
  REHEARSE_CHECK(padded(end, parameters_.options()) == num_elements_, "an order names every segment once");
  parameters_ = at::zeros_like(old_parameters);
  gradients_ = at::zeros_like(old_gradients);
  for (size_t i = 0; i < order.size(); ++i) {
    view_of(parameters_, segments_[i]).copy_(view_of(old_parameters, old_segments[order[i]]));
    view_of(gradients_, segments_[i]).copy_(view_of(old_gradients, old_segments[order[i]]));
    tensors_[i].set_data(view_of(parameters_, segments_[i]));
    tensors_[i].mutable_grad() = view_of(gradients_, segments_[i]);
  }
  const auto tail_begin = static_cast<int64_t>(num_elements_);
  gradients_.narrow(0, tail_begin, kTail).copy_(old_gradients.narrow(0, tail_begin, kTail));
}

void Arena::reorder(const std::vector<std::string>& names, const std::string& where) {
  std::vector<size_t> order;
  for (const std::string& name : names) {
    const auto found =
        std::find_if(segments_.begin(), segments_.end(), [&](const Segment& segment) { return segment.name == name; });
    if (found == segments_.end())
      throw DataError(where, ": expected the names of this model's parameters; found \"", name, "\"");
    order.push_back(static_cast<size_t>(found - segments_.begin()));
  }
  std::vector<size_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  const bool is_whole = sorted.size() == segments_.size() && std::unique(sorted.begin(), sorted.end()) == sorted.end();
  if (!is_whole)
    throw DataError(where, ": expected each of ", segments_.size(), " parameters once; found ", names.size());
  reorder(order);
}

std::vector<std::string> Arena::names() const {
  std::vector<std::string> names;
  for (const Segment& segment : segments_) names.push_back(segment.name);
  return names;
}

int64_t Arena::num_parameters() const {
  int64_t count = 0;
  for (const Segment& segment : segments_) count += static_cast<int64_t>(segment.length);
  return count;
}

void Arena::begin_update() {
  gradients_.zero_();
  if (next_buffers_.defined()) next_buffers_.copy_(buffers_);
  if (buffer_sums_.defined()) buffer_sums_.zero_();
}

void Arena::write_tail(const Tail& tail) {
  at::Tensor to = gradients_.narrow(0, static_cast<int64_t>(num_elements_), kTail);
  if (gradients_.is_cpu()) {
    std::copy(tail.begin(), tail.end(), to.data_ptr<float>());
    return;
  }
  if (!staged_tail_.defined()) staged_tail_ = at::empty({kTail}, at::kFloat).pin_memory();
  std::copy(tail.begin(), tail.end(), staged_tail_.data_ptr<float>());
  to.copy_(staged_tail_, /*non_blocking=*/true);
}

Arena::GradientTotals Arena::gradient_totals(const std::optional<Slice>& own) {
  GradientTotals totals;
  const size_t begin = own ? own->begin : 0, end = own ? own->end : num_elements_;
  const auto add_up = [&](const std::vector<double>& squares) {
    const std::vector<double> all = own ? own->of_all(squares) : squares;
    return std::accumulate(all.begin(), all.end(), 0.0);
  };
  const float* gradients = gradients_.const_data_ptr<float>();
  const at::Tensor measured_values = measured();
  // 0 or NaN.
  const at::Tensor zero = measured_values.defined() ? (measured_values * 0).sum() : at::Tensor();
  if (gradients_.is_cpu()) {
    std::copy_n(gradients + num_elements_, kTail, totals.tail.begin());
    totals.sum_of_squares = add_up(squares_of_blocks({gradients + begin, end - begin}));
    if (zero.defined()) totals.sum_of_squares += zero.item<double>();
    return totals;
  }
  // Partial sums and tail travel together, then the sums are added in index order.
  const DeviceTable& kernels = *installed_device_table();
  const auto count = static_cast<int64_t>(end - begin);
  const int64_t blocks = (count + kDeviceSumBlock - 1) / kDeviceSumBlock;
  at::Tensor partials = at::empty({blocks + static_cast<int64_t>(kTail)}, gradients_.options().dtype(at::kDouble));
  kernels.get<SumOfSquaresOnDevice>()(gradients + begin, count, partials.data_ptr<double>(),
                                      kernels.get<CurrentStreamOnDevice>()());
  partials.narrow(0, blocks, kTail).copy_(gradients_.narrow(0, static_cast<int64_t>(num_elements_), kTail));
  if (zero.defined()) partials[0] += zero;
  const at::Tensor on_host = partials.cpu();
  const double* values = on_host.const_data_ptr<double>();
  totals.sum_of_squares = add_up({values, values + blocks});
  std::transform(values + blocks, values + blocks + kTail, totals.tail.begin(),
                 [](double value) { return static_cast<float>(value); });
  return totals;
}

}  // namespace rehearse
