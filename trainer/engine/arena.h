// Flat storage of a model: parameters, gradients and buffers are views of three contiguous tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

#include "models/block.h"
#include "trainer/engine/optimizer.h"

namespace rehearse {

// Segments lie in the order in which gradients become ready (reverse order of creation), each at a multiple of 64
// bytes. The gradient buffer has a tail of kTail elements behind the last segment for values that ride in the last
// bucket.
class Arena {
 public:
  static constexpr size_t kTail = 64;

  // Moves the tensors' contents into the flat buffers; the blocks' own handles become views. The store outlives the
  // arena.
  explicit Arena(ParameterStore& store);

  const std::vector<Segment>& segments() const { return segments_; }
  std::vector<Segment>& segments() { return segments_; }
  const std::vector<Segment>& buffer_segments() const { return buffer_segments_; }
  // The leaf tensor of segment i, for hooks.
  const at::Tensor& tensor(size_t i) const { return tensors_[i]; }

  at::Tensor& parameters() { return parameters_; }  // [elements]
  at::Tensor& gradients() { return gradients_; }    // [elements + kTail]
  at::Tensor& buffers() { return buffers_; }        // [buffer elements]
  size_t num_elements() const { return num_elements_; }
  int64_t num_parameters() const;  // without padding

  void zero_gradients();
  using Tail = std::array<float, kTail>;
  // Into the gradient buffer's tail; does not wait for a device.
  void write_tail(const Tail& tail);
  struct GradientTotals {
    Tail tail;
    double sum_of_squares = 0;  // of everything before the tail
  };
  // The one place of a step that waits for a device.
  GradientTotals gradient_totals();

 private:
  std::vector<Segment> segments_;
  std::vector<Segment> buffer_segments_;
  std::vector<at::Tensor> tensors_;
  at::Tensor parameters_, gradients_, buffers_;
  at::Tensor staged_tail_;  // page-locked, with a device only
  size_t num_elements_ = 0;
};

}  // namespace rehearse
