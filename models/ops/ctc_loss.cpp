#include "models/ops/ctc_loss.h"

#include "models/ops/batch_pieces.h"
#include "models/ops/device_ops.h"
#include "models/ops/fused_ops.h"
#include "models/ops/host_copy.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct CtcFunction : torch::autograd::Function<CtcFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& logits, const at::Tensor& gradient,
                            const at::Tensor& sum) {
    context->save_for_backward({gradient});
    return sum.clone();
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {context->get_saved_variables()[0] * gradients[0], at::Tensor(), at::Tensor()};
  }
};

void expect_tokens(const std::vector<int32_t>& target, int64_t classes, int32_t blank) {
  for (int32_t token : target)
    REHEARSE_CHECK(token >= 0 && token < classes && token != blank, "targets hold tokens only; found ", token, " with ",
                   classes, " classes and blank ", blank);
}

// Losses into `result`; returns the gradient, undefined unless it is wanted.
at::Tensor cpu_gradient(const at::Tensor& values, const std::vector<int64_t>& lengths,
                        const std::vector<std::vector<int32_t>>& targets, int32_t blank,
                        const std::vector<double>& weights, bool is_wanted, CtcLoss& result) {
  const size_t batch = lengths.size();
  const int64_t row = values.size(1) * values.size(2);
  at::Tensor gradient;
  if (is_wanted) gradient = at::empty(values.sizes(), values.options());
  with_real_type(values, [&](auto zero) {
    using T = decltype(zero);
    const T* from = values.const_data_ptr<T>();
    T* to = is_wanted ? gradient.mutable_data_ptr<T>() : nullptr;
    std::vector<int64_t> real(lengths);
    for (size_t b = 0; b < batch; ++b)
      if (weights[b] == 0) real[b] = 0;
    if (is_wanted) clear_padding<T>(gradient, real);
    at::parallel_for(0, static_cast<int64_t>(batch), 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        if (weights[b] == 0) continue;
        const CtcOutcome outcome = ctc_loss_and_gradient(from + b * row, lengths[b], values.size(2), targets[b], blank,
                                                         weights[b], to ? to + b * row : nullptr);
        result.losses[b] = outcome.loss;
        result.is_infeasible[b] = outcome.is_infeasible;
      }
    });
  });
  return gradient;
}

}  // namespace

CtcLoss ctc_loss(const at::Tensor& logits, const std::vector<int64_t>& lengths,
                 const std::vector<std::vector<int32_t>>& targets, int32_t blank, const std::vector<double>& weights) {
  const size_t batch = lengths.size();
  expect_shape(logits, {static_cast<int64_t>(batch), -1, -1}, "ctc_loss: logits [B, T, V]");
  REHEARSE_CHECK(targets.size() == batch && weights.size() == batch, "one target and one weight per utterance");
  for (const std::vector<int32_t>& target : targets) expect_tokens(target, logits.size(2), blank);
  const at::Tensor values = logits.detach().contiguous();
  const bool is_learning = at::GradMode::is_enabled() && logits.requires_grad();
  at::Tensor gradient;
  CtcLoss result{at::Tensor(), std::vector<double>(batch, 0.0), std::vector<uint8_t>(batch, 0)};
  if (values.is_cpu())
    gradient = cpu_gradient(values, lengths, targets, blank, weights, is_learning, result);
  else
    gradient = device_ctc(values, lengths, targets, blank, weights, result);
  if (values.is_cpu()) {
    double sum = 0;
    for (size_t b = 0; b < batch; ++b) sum += weights[b] * result.losses[b];
    result.sum = at::full({}, sum, logits.options());
  }
  if (is_learning) result.sum = CtcFunction::apply(logits, gradient, result.sum);
  return result;
}

void CtcLoss::collect() {
  if (!pending) return;
  std::copy_n(pending->read().const_data_ptr<double>(), losses.size(), losses.begin());
  pending.reset();
}

PendingPaths::PendingPaths(const at::Tensor& logits, const std::vector<int64_t>& lengths, int32_t blank)
    : lengths_(lengths), blank_(blank) {
  expect_shape(logits, {static_cast<int64_t>(lengths.size()), -1, -1}, "ctc_greedy_decode: logits [B, T, V]");
  const at::Tensor values = logits.detach().contiguous();
  if (!values.is_cpu()) {
    classes_ = std::make_shared<HostCopy>(device_argmax(values));
    return;
  }
  paths_.resize(lengths.size());
  with_real_type(values, [&](auto zero) {
    using T = decltype(zero);
    const T* from = values.const_data_ptr<T>();
    for (size_t b = 0; b < lengths.size(); ++b)
      paths_[b] = ctc_greedy(from + static_cast<int64_t>(b) * values.stride(0), lengths[b], values.size(2), blank);
  });
}

std::vector<GreedyPath> PendingPaths::collect() {
  if (!classes_) return std::move(paths_);
  const at::Tensor& best = classes_->read();
  const auto* classes = best.const_data_ptr<int32_t>();
  for (size_t b = 0; b < lengths_.size(); ++b)
    paths_.push_back(
        ctc_collapse({classes + static_cast<int64_t>(b) * best.size(1), static_cast<size_t>(lengths_[b])}, blank_));
  return std::move(paths_);
}

std::vector<GreedyPath> ctc_greedy_decode(const at::Tensor& logits, const std::vector<int64_t>& lengths,
                                          int32_t blank) {
  return PendingPaths(logits, lengths, blank).collect();
}

}  // namespace rehearse
