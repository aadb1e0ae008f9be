// Flat storage of a model: parameters, gradients and buffers are views of three contiguous tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "models/block.h"
#include "trainer/engine/update/optimizer.h"

namespace rehearse {

// Segments lie in the order in which gradients become ready (at first: reverse order of creation), each at a multiple
// of 64 bytes. The gradient buffer has a tail of kTail elements behind the last segment for values that ride in the
// last bucket.
class Arena {
 public:
  static constexpr size_t kTail = 64;

  // Moves the tensors' contents into the flat buffers; the blocks' own handles become views. The store outlives the
  // arena.
  explicit Arena(ParameterStore& store);

  const std::vector<Segment>& segments() const { return segments_; }
  std::vector<Segment>& segments() { return segments_; }
  const std::vector<Segment>& buffer_segments() const { return buffer_segments_; }
  std::vector<Segment>& buffer_segments() { return buffer_segments_; }
  // The leaf tensor of segment i, for hooks.
  const at::Tensor& tensor(size_t i) const { return tensors_[i]; }

  at::Tensor& parameters() { return parameters_; }  // [elements]
  at::Tensor& gradients() { return gradients_; }    // [elements + kTail]
  at::Tensor& buffers() { return buffers_; }        // [buffer elements]
  const at::Tensor& parameters() const { return parameters_; }
  const at::Tensor& gradients() const { return gradients_; }
  const at::Tensor& buffers() const { return buffers_; }
  // Sums of what this update's micro-batches measured, in the layout of buffers(); undefined when no buffer wants them.
  at::Tensor& buffer_sums() { return buffer_sums_; }
  // With the update: the buffers become what its micro-batches, `num_micro_batches` over all ranks, made of them.
  // Frozen ones stay.
  void move_buffers(double num_micro_batches);
  size_t num_elements() const { return num_elements_; }
  int64_t num_parameters() const;  // without padding

  // Places the segments anew: order[i] is the present index of the new segment i. Values, gradients and tail move
  // along; flat tensors and offsets known before are stale, so this comes before optimizer state has values.
  void reorder(const std::vector<size_t>& order);
  // The same by names, as a checkpoint keeps them; DataError naming `where` when they are not this arena's.
  void reorder(const std::vector<std::string>& names, const std::string& where);
  std::vector<std::string> names() const;

  // Gradients start at zero, and what forward passes measured for the update before is forgotten.
  void begin_update();
  using Tail = std::array<float, kTail>;
  // Into the gradient buffer's tail; does not wait for a device.
  void write_tail(const Tail& tail);
  struct GradientTotals {
    Tail tail;
    double sum_of_squares = 0;  // of everything before the tail; NaN when a buffer would become what is not finite
  };
  // The one place of a step that waits for a device. A rank that has the sums of elements begin … end - 1 alone, whole
  // blocks of kSumBlock but for the last one, gets the blocks' squares of all ranks, in order, from `of_all`.
  struct Slice {
    size_t begin = 0, end = 0;
    std::function<std::vector<double>(const std::vector<double>&)> of_all;
  };
  GradientTotals gradient_totals(const std::optional<Slice>& own = {});

 private:
  std::vector<Segment> segments_;
  std::vector<Segment> buffer_segments_;
  std::vector<at::Tensor> tensors_;
  void add_buffers(std::vector<Buffer>& buffers);
  at::Tensor measured() const;
  at::Tensor parameters_, gradients_, buffers_;
  at::Tensor next_buffers_, buffer_sums_;  // each undefined where no buffer has it
  std::vector<size_t> averaged_;           // buffers with a sum
  at::Tensor staged_tail_;                 // page-locked, with a device only
  size_t num_elements_ = 0;
};

}  // namespace rehearse
