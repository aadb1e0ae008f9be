#include "trainer/engine/arena.h"

#include <ATen/ATen.h>

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

  end = 0;
  for (const Buffer& buffer : store.buffers()) end = place(buffer_segments_, buffer.name, buffer.tensor, false, end);
  buffers_ = at::zeros({static_cast<int64_t>(padded(end, options))}, options);
  for (size_t i = 0; i < buffer_segments_.size(); ++i) {
    at::Tensor view = view_of(buffers_, buffer_segments_[i]);
    view.copy_(store.buffers()[i].tensor);
    store.buffers()[i].tensor.set_data(view);
  }
}

int64_t Arena::num_parameters() const {
  int64_t count = 0;
  for (const Segment& segment : segments_) count += static_cast<int64_t>(segment.length);
  return count;
}

void Arena::zero_gradients() {
  gradients_.zero_();
}

}  // namespace rehearse
