// Batch norm and its evaluation on a CPU in passes of models/kernels/batch_norm.h; on a device out of libtorch's parts.
#include "models/kernels/batch_norm.h"

#include "models/ops/batch_pieces.h"
#include "models/ops/device_ops.h"
#include "models/ops/fused_ops.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Per channel, in x's type.
struct Scaling {
  at::Tensor scale, shift, rstd, centre;
};

struct ScaleCall : torch::CustomClassHolder {
  std::vector<int64_t> lengths;
  Epilogue epilogue;
  AllReduceSum all_reduce_sum;
  double epsilon = 0;
  BatchMoments moments;

  FrameEpilogue at(const Piece& piece) const {
    return {epilogue.activation, epilogue.dropout.empty() ? Dropout{} : epilogue.dropout[piece.utterance], piece.begin};
  }
  template <class T>
  ScaledRows<T> rows(const at::Tensor& x, const Scaling& by, const Piece& piece) const {
    return {x.const_data_ptr<T>() + (piece.utterance * x.size(1) + piece.begin) * x.size(2),
            by.scale.const_data_ptr<T>(),
            by.shift.const_data_ptr<T>(),
            data_or_null<T>(by.rstd),
            data_or_null<T>(by.centre),
            piece.end - piece.begin,
            x.size(2),
            at(piece)};
  }
};

// task(piece, its number) over the batch's pieces.
template <class Task>
void for_pieces(const std::vector<Piece>& pieces, int64_t channels, const Task& task) {
  for_each_piece(static_cast<int64_t>(pieces.size()), kPieceFrames * channels, [&](int64_t i) { task(pieces[i], i); });
}

// Rows of all pieces, added in order.
at::Tensor added_up(const at::Tensor& partials, at::IntArrayRef shape) {
  at::Tensor sum = at::zeros({partials.size(1)}, partials.options());
  for (int64_t i = 0; i < partials.size(0); ++i) sum.add_(partials[i]);
  return sum.view(shape);
}

at::Tensor scaled(const at::Tensor& x, const Scaling& by, const ScaleCall& call) {
  at::Tensor y = at::empty(x.sizes(), x.options());
  const std::vector<Piece> pieces = pieces_of(call.lengths);
  with_real_type(x, [&](auto zero) {
    using T = decltype(zero);
    T* to = y.mutable_data_ptr<T>();
    for_pieces(pieces, x.size(2), [&](const Piece& piece, int64_t) {
      scaled_forward(call.rows<T>(x, by, piece), to + (piece.utterance * x.size(1) + piece.begin) * x.size(2));
    });
    clear_padding<T>(y, call.lengths);
  });
  return y;
}

// Σdz and Σdz · x̂ [2, C], with x itself in place of x̂ where there is no rstd.
at::Tensor slope_sums(const at::Tensor& x, const at::Tensor& dy, const Scaling& by, const ScaleCall& call) {
  const std::vector<Piece> pieces = pieces_of(call.lengths);
  const int64_t channels = x.size(2);
  const at::Tensor partials = at::zeros({static_cast<int64_t>(pieces.size()), 2 * channels}, x.options());
  with_real_type(x, [&](auto zero) {
    using T = decltype(zero);
    const T* slope = dy.const_data_ptr<T>();
    T* to = partials.mutable_data_ptr<T>();
    for_pieces(pieces, channels, [&](const Piece& piece, int64_t i) {
      const int64_t row = (piece.utterance * x.size(1) + piece.begin) * channels;
      scaled_sums(call.rows<T>(x, by, piece), slope + row, to + i * 2 * channels);
    });
  });
  return added_up(partials, {2, channels});
}

at::Tensor slope_of_input(const at::Tensor& x, const at::Tensor& dy, const Scaling& by, const at::Tensor& mean_slopes,
                          const ScaleCall& call) {
  at::Tensor dx = at::empty(x.sizes(), x.options());
  const std::vector<Piece> pieces = pieces_of(call.lengths);
  with_real_type(x, [&](auto zero) {
    using T = decltype(zero);
    const T* slope = dy.const_data_ptr<T>();
    const T* means = data_or_null<T>(mean_slopes);
    T* to = dx.mutable_data_ptr<T>();
    for_pieces(pieces, x.size(2), [&](const Piece& piece, int64_t) {
      const int64_t row = (piece.utterance * x.size(1) + piece.begin) * x.size(2);
      scaled_backward(call.rows<T>(x, by, piece), slope + row, means, to + row);
    });
    clear_padding<T>(dx, call.lengths);
  });
  return dx;
}

// Σx, Σx² and the number of real frames of this rank [2 C + 1], in double.
at::Tensor moments_of(const at::Tensor& x, const std::vector<int64_t>& lengths) {
  const std::vector<Piece> pieces = pieces_of(lengths);
  const int64_t channels = x.size(2);
  const at::Tensor partials = at::zeros({static_cast<int64_t>(pieces.size()), 2 * channels}, at::kDouble);
  with_real_type(x, [&](auto zero) {
    using T = decltype(zero);
    const T* from = x.const_data_ptr<T>();
    double* to = partials.mutable_data_ptr<double>();
    for_pieces(pieces, channels, [&](const Piece& piece, int64_t i) {
      add_moments(from + (piece.utterance * x.size(1) + piece.begin) * channels, piece.end - piece.begin, channels,
                  to + i * 2 * channels);
    });
  });
  int64_t frames = 0;
  for (const int64_t length : lengths) frames += length;
  return at::cat({added_up(partials, {2 * channels}), at::full({1}, static_cast<double>(frames), at::kDouble)});
}

struct ScaleFunction : torch::autograd::Function<ScaleFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& scale,
                            const at::Tensor& shift, const c10::intrusive_ptr<ScaleCall>& call) {
    context->save_for_backward({x, scale, shift});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    return scaled(x, {scale, shift, {}, {}}, *call);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const ScaleCall&>(*holder);
    const at::Tensor dy = gradients[0].contiguous();
    const Scaling by{saved[1], saved[2], at::ones_like(saved[1]), at::zeros_like(saved[1])};
    at::Tensor dx, sums;
    if (context->needs_input_grad(0)) dx = slope_of_input(saved[0], dy, by, {}, call);
    if (context->needs_input_grad(1) || context->needs_input_grad(2)) sums = slope_sums(saved[0], dy, by, call);
    return {dx, sums.defined() ? sums[1] : sums, sums.defined() ? sums[0] : sums, at::Tensor()};
  }
};

struct BatchNormFunction : torch::autograd::Function<BatchNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& shift, const c10::intrusive_ptr<ScaleCall>& call) {
    const int64_t channels = x.size(2);
    at::Tensor sums = moments_of(x, call->lengths);
    if (call->all_reduce_sum) call->all_reduce_sum(sums);
    const at::Tensor count = sums[2 * channels].clamp_min(1.0);
    const at::Tensor mean = sums.slice(0, 0, channels) / count;
    const at::Tensor variance = (sums.slice(0, channels, 2 * channels) / count - mean.square()).clamp_min(0);
    call->moments = {mean.to(x.scalar_type()), variance.to(x.scalar_type()), count};
    const at::Tensor rstd = (variance + call->epsilon).rsqrt(), scale = weight.to(at::kDouble) * rstd;
    const Scaling by{scale.to(x.scalar_type()), (shift - mean * scale).to(x.scalar_type()), rstd.to(x.scalar_type()),
                     (-mean * rstd).to(x.scalar_type())};
    context->save_for_backward({x, by.scale, by.shift, by.rstd, by.centre});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    return scaled(x, by, *call);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const ScaleCall&>(*holder);
    const Scaling by{saved[1], saved[2], saved[3], saved[4]};
    const at::Tensor dy = gradients[0].contiguous();
    const at::Tensor own = slope_sums(saved[0], dy, by, call);
    at::Tensor sums = own.to(at::kDouble, /*non_blocking=*/false, /*copy=*/true);  // own stays this rank's
    if (call.all_reduce_sum) call.all_reduce_sum(sums);
    const at::Tensor means = (sums / call.moments.count).to(own.scalar_type()).contiguous();
    return {slope_of_input(saved[0], dy, by, means, call), own[1], own[0], at::Tensor()};
  }
};

c10::intrusive_ptr<ScaleCall> scale_call(const at::Tensor& x, const std::vector<int64_t>& lengths,
                                         const Epilogue& epilogue, int64_t channels) {
  expect_shape(x, {static_cast<int64_t>(lengths.size()), -1, channels}, "batch norm: x [B, T, C]");
  auto call = c10::make_intrusive<ScaleCall>();
  call->lengths = lengths;
  call->epilogue = epilogue;
  return call;
}

}  // namespace

at::Tensor fused_scale(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                       const std::vector<int64_t>& lengths, const Epilogue& epilogue) {
  if (!x.is_cpu()) return fused_gate(x * scale + shift, {}, {}, lengths, epilogue);
  return ScaleFunction::apply(x.contiguous(), scale.contiguous(), shift.contiguous(),
                              scale_call(x, lengths, epilogue, scale.size(0)));
}

at::Tensor fused_batch_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& shift,
                            const std::vector<int64_t>& lengths, const Epilogue& epilogue, double epsilon,
                            const AllReduceSum& all_reduce_sum, BatchMoments& moments) {
  auto call = scale_call(x, lengths, epilogue, weight.size(0));
  call->all_reduce_sum = all_reduce_sum;
  call->epsilon = epsilon;
  const at::Tensor y = BatchNormFunction::apply(x.contiguous(), weight, shift, call);
  moments = call->moments;
  return y;
}

}  // namespace rehearse
