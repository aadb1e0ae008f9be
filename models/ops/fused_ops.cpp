#include "models/ops/fused_ops.h"

#include "models/ops/batch_pieces.h"
#include "models/ops/device_ops.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kEpsilon = 1e-5;

struct FusedCall : torch::CustomClassHolder {
  std::vector<int64_t> lengths;
  Epilogue epilogue;

  FrameEpilogue at(const Piece& piece) const {
    return {epilogue.activation, epilogue.dropout.empty() ? Dropout{} : epilogue.dropout[piece.utterance], piece.begin};
  }
};

c10::intrusive_ptr<FusedCall> fused_call(const std::vector<int64_t>& lengths, const Epilogue& epilogue) {
  auto call = c10::make_intrusive<FusedCall>();
  call->lengths = lengths;
  call->epilogue = epilogue;
  return call;
}

template <class T>
struct LayerNormTensors {
  const at::Tensor& x;
  const T* bias;
  const T* weight;
  const T* shift;
  T* mean;  // [B, T]
  T* rstd;  // [B, T]

  LayerNormRows<T> rows(const FusedCall& call, const Piece& piece) const {
    const int64_t row = piece.utterance * x.size(1) + piece.begin;
    return {x.const_data_ptr<T>() + row * x.size(2),
            bias,
            weight,
            shift,
            mean + row,
            rstd + row,
            piece.end - piece.begin,
            x.size(2),
            kEpsilon,
            call.at(piece)};
  }
};

// Column sums of pieces, added in order.
template <class T>
void add_partials(const std::vector<T>& partials, int64_t step, int64_t offset, const at::Tensor& to) {
  T* sum = to.mutable_data_ptr<T>();
  for (size_t start = static_cast<size_t>(offset); start < partials.size(); start += static_cast<size_t>(step))
    for (int64_t c = 0; c < to.numel(); ++c) sum[c] += partials[start + static_cast<size_t>(c)];
}

struct LayerNormFunction : torch::autograd::Function<LayerNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& bias,
                            const at::Tensor& weight, const at::Tensor& shift,
                            const c10::intrusive_ptr<FusedCall>& call) {
    const at::Tensor moments = at::empty({2, x.size(0), x.size(1)}, x.options());
    const at::Tensor before = bias.value_or(at::Tensor());
    context->save_for_backward({x, before, weight, shift, moments});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    if (!x.is_cpu())
      return device_layer_norm_forward({x, before, weight, shift, moments, kEpsilon}, call->lengths, call->epilogue);
    at::Tensor y = at::empty(x.sizes(), x.options());
    const std::vector<Piece> pieces = pieces_of(call->lengths);
    with_real_type(x, [&](auto zero) {
      using T = decltype(zero);
      const LayerNormTensors<T> tensors = of<T>(x, before, weight, shift, moments);
      T* to = y.mutable_data_ptr<T>();
      for_each_piece(static_cast<int64_t>(pieces.size()), kPieceFrames * x.size(2), [&](int64_t i) {
        const Piece& piece = pieces[i];
        layer_norm_forward(tensors.rows(*call, piece), to + (piece.utterance * x.size(1) + piece.begin) * x.size(2));
      });
      clear_padding<T>(y, call->lengths);
    });
    return y;
  }

  template <class T>
  static LayerNormTensors<T> of(const at::Tensor& x, const at::Tensor& bias, const at::Tensor& weight,
                                const at::Tensor& shift, const at::Tensor& moments) {
    T* mean = moments.mutable_data_ptr<T>();
    return {x,    data_or_null<T>(bias),       weight.const_data_ptr<T>(), shift.const_data_ptr<T>(),
            mean, mean + x.size(0) * x.size(1)};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const FusedCall&>(*holder);
    const at::Tensor& x = saved[0];
    const int64_t channels = x.size(2);
    const at::Tensor dy = gradients[0].contiguous();
    if (!x.is_cpu()) {
      const DeviceNormGradients out = device_layer_norm_backward({x, saved[1], saved[2], saved[3], saved[4], kEpsilon},
                                                                 dy, call.lengths, call.epilogue);
      return {out.dx, saved[1].defined() ? out.sums[2] : at::Tensor(), out.sums[0], out.sums[1], at::Tensor()};
    }
    at::Tensor dx = at::empty(x.sizes(), x.options());
    at::Tensor sums[3];
    for (at::Tensor& sum : sums) sum = at::zeros({channels}, x.options());
    const std::vector<Piece> pieces = pieces_of(call.lengths);
    with_real_type(x, [&](auto zero) {
      using T = decltype(zero);
      const LayerNormTensors<T> tensors = of<T>(x, saved[1], saved[2], saved[3], saved[4]);
      std::vector<T> partials(pieces.size() * 3 * channels, T(0));
      const T* slope = dy.const_data_ptr<T>();
      T* to = dx.mutable_data_ptr<T>();
      for_each_piece(static_cast<int64_t>(pieces.size()), kPieceFrames * channels, [&](int64_t i) {
        const int64_t row = (pieces[i].utterance * x.size(1) + pieces[i].begin) * channels;
        T* columns = partials.data() + i * 3 * channels;
        layer_norm_backward(tensors.rows(call, pieces[i]), slope + row, to + row, columns, columns + channels,
                            columns + 2 * channels);
      });
      clear_padding<T>(dx, call.lengths);
      for (int64_t i = 0; i < 3; ++i) add_partials<T>(partials, 3 * channels, i * channels, sums[i]);
    });
    return {dx, saved[1].defined() ? sums[2] : at::Tensor(), sums[0], sums[1], at::Tensor()};
  }
};

template <class T>
GatedRows<T> gated_rows(const FusedCall& call, const Piece& piece, const at::Tensor& x, const at::Tensor& gate,
                        const at::Tensor& residual) {
  const int64_t row = (piece.utterance * x.size(1) + piece.begin) * x.size(2);
  const T* gates = data_or_null<T>(gate);
  const T* residuals = data_or_null<T>(residual);
  return {x.const_data_ptr<T>() + row,
          gates ? gates + piece.utterance * x.size(2) : nullptr,
          residuals ? residuals + row : nullptr,
          piece.end - piece.begin,
          x.size(2),
          call.at(piece)};
}

struct GateFunction : torch::autograd::Function<GateFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const std::optional<at::Tensor>& gate,
                            const std::optional<at::Tensor>& residual, const c10::intrusive_ptr<FusedCall>& call) {
    const at::Tensor gates = gate.value_or(at::Tensor());
    const at::Tensor residuals = residual.value_or(at::Tensor());
    context->save_for_backward({x, gates, residuals});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    if (!x.is_cpu()) return device_gate_forward({x, gates, residuals}, call->lengths, call->epilogue);
    at::Tensor y = at::empty(x.sizes(), x.options());
    const std::vector<Piece> pieces = pieces_of(call->lengths);
    with_real_type(x, [&](auto zero) {
      using T = decltype(zero);
      T* to = y.mutable_data_ptr<T>();
      for_each_piece(static_cast<int64_t>(pieces.size()), kPieceFrames * x.size(2), [&](int64_t i) {
        const int64_t row = (pieces[i].utterance * x.size(1) + pieces[i].begin) * x.size(2);
        gated_forward(gated_rows<T>(*call, pieces[i], x, gates, residuals), to + row);
      });
      clear_padding<T>(y, call->lengths);
    });
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const FusedCall&>(*holder);
    const at::Tensor& x = saved[0];
    const int64_t channels = x.size(2);
    const at::Tensor dy = gradients[0].contiguous();
    if (!x.is_cpu()) {
      const DeviceGateResults out = device_gate_backward({x, saved[1], saved[2]}, dy, call.lengths, call.epilogue);
      return {out.dx, out.dgate, out.dresidual, at::Tensor()};
    }
    at::Tensor dx = at::empty(x.sizes(), x.options());
    // Without a gate both gradients are the same numbers.
    const bool shares = saved[2].defined() && !saved[1].defined();
    at::Tensor dresidual = saved[2].defined() && !shares ? at::empty(x.sizes(), x.options()) : at::Tensor();
    at::Tensor dgate = saved[1].defined() ? at::zeros_like(saved[1]) : at::Tensor();
    const std::vector<Piece> pieces = pieces_of(call.lengths);
    with_real_type(x, [&](auto zero) {
      using T = decltype(zero);
      std::vector<T> partials(dgate.defined() ? pieces.size() * channels : 0, T(0));
      const T* slope = dy.const_data_ptr<T>();
      T* to = dx.mutable_data_ptr<T>();
      T* to_residual = dresidual.defined() ? dresidual.mutable_data_ptr<T>() : nullptr;
      for_each_piece(static_cast<int64_t>(pieces.size()), kPieceFrames * channels, [&](int64_t i) {
        const int64_t row = (pieces[i].utterance * x.size(1) + pieces[i].begin) * channels;
        gated_backward(gated_rows<T>(call, pieces[i], x, saved[1], saved[2]), slope + row, to + row,
                       to_residual ? to_residual + row : nullptr,
                       partials.empty() ? nullptr : partials.data() + i * channels);
      });
      clear_padding<T>(dx, call.lengths);
      if (to_residual) clear_padding<T>(dresidual, call.lengths);
      for (size_t i = 0; i * channels < partials.size(); ++i) {
        T* sum = dgate.mutable_data_ptr<T>() + pieces[i].utterance * channels;
        for (int64_t c = 0; c < channels; ++c) sum[c] += partials[i * channels + c];
      }
    });
    return {dx, dgate, shares ? dx : dresidual, at::Tensor()};
  }
};

}  // namespace

Epilogue Epilogue::of(Activation activation, double dropout_rate, const ForwardContext& context, uint64_t block_index,
                      uint64_t site) {
  Epilogue epilogue{activation, {}};
  if (!context.is_training || dropout_rate == 0) return epilogue;
  const RandomKey run = RandomKey(context.seed).with("dropout").with(context.step);
  for (uint64_t id : context.ids)
    epilogue.dropout.push_back(Dropout::of(dropout_rate, run.with(id).with(block_index).with(site).value()));
  return epilogue;
}

at::Tensor fused_layer_norm(const at::Tensor& x, const std::optional<at::Tensor>& bias, const at::Tensor& weight,
                            const at::Tensor& shift, const std::vector<int64_t>& lengths, const Epilogue& epilogue) {
  expect_shape(x, {static_cast<int64_t>(lengths.size()), -1, weight.size(0)}, "fused_layer_norm: x [B, T, C]");
  REHEARSE_CHECK(epilogue.dropout.empty() || epilogue.dropout.size() == lengths.size(),
                 "one dropout key per utterance");
  return LayerNormFunction::apply(x.contiguous(), bias, weight, shift, fused_call(lengths, epilogue));
}

at::Tensor fused_gate(const at::Tensor& x, const std::optional<at::Tensor>& gate,
                      const std::optional<at::Tensor>& residual, const std::vector<int64_t>& lengths,
                      const Epilogue& epilogue) {
  const auto batch = static_cast<int64_t>(lengths.size());
  expect_shape(x, {batch, -1, -1}, "fused_gate: x [B, T, C]");
  REHEARSE_CHECK(epilogue.dropout.empty() || epilogue.dropout.size() == lengths.size(),
                 "one dropout key per utterance");
  std::optional<at::Tensor> gates;
  std::optional<at::Tensor> residuals;
  if (gate) {
    expect_shape(*gate, {batch, x.size(2)}, "fused_gate: gate [B, C]");
    gates = gate->contiguous();
  }
  if (residual) {
    expect_shape(*residual, {batch, x.size(1), x.size(2)}, "fused_gate: residual [B, T, C]");
    residuals = residual->contiguous();
  }
  return GateFunction::apply(x.contiguous(), gates, residuals, fused_call(lengths, epilogue));
}

at::Tensor fused_affine(const at::Tensor& x, const at::Tensor& scale, const at::Tensor& shift,
                        const std::vector<int64_t>& lengths, const Epilogue& epilogue) {
  expect_shape(x, {static_cast<int64_t>(lengths.size()), -1, scale.size(0)}, "fused_affine: x [B, T, C]");
  REHEARSE_CHECK(!at::GradMode::is_enabled() || !(x.requires_grad() || scale.requires_grad() || shift.requires_grad()),
                 "fused_affine has no gradient");
  if (!x.is_cpu()) return fused_gate(x * scale + shift, {}, {}, lengths, epilogue);
  const at::Tensor from = x.contiguous(), scales = scale.contiguous(), shifts = shift.contiguous();
  const auto call = fused_call(lengths, epilogue);
  at::Tensor y = at::empty(from.sizes(), from.options());
  const std::vector<Piece> pieces = pieces_of(lengths);
  with_real_type(from, [&](auto zero) {
    using T = decltype(zero);
    T* to = y.mutable_data_ptr<T>();
    for_each_piece(static_cast<int64_t>(pieces.size()), kPieceFrames * from.size(2), [&](int64_t i) {
      const Piece& piece = pieces[i];
      const int64_t row = (piece.utterance * from.size(1) + piece.begin) * from.size(2);
      affine_forward(AffineRows<T>{from.const_data_ptr<T>() + row, scales.const_data_ptr<T>(),
                                   shifts.const_data_ptr<T>(), piece.end - piece.begin, from.size(2), call->at(piece)},
                     to + row);
    });
    clear_padding<T>(y, lengths);
  });
  return y;
}

at::Tensor frame_mask(const at::Tensor& x, const std::vector<int64_t>& lengths) {
  const at::Tensor positions = at::arange(x.size(1), x.options().dtype(at::kLong)).view({1, -1, 1});
  const at::Tensor limits = to_device_of(x, at::tensor(at::IntArrayRef(lengths), at::kLong)).view({-1, 1, 1});
  return positions.lt(limits).to(x.scalar_type());
}

void expect_shape(const at::Tensor& x, const std::vector<int64_t>& shape, const char* what) {
  bool matches = x.dim() == static_cast<int64_t>(shape.size());
  for (size_t i = 0; matches && i < shape.size(); ++i)
    matches = shape[i] < 0 || x.size(static_cast<int64_t>(i)) == shape[i];
  REHEARSE_CHECK(matches, what, ": expected ", at::IntArrayRef(shape), ", found ", x.sizes());
}

std::vector<int64_t> strided_lengths(const std::vector<int64_t>& lengths, int64_t stride) {
  std::vector<int64_t> strided;
  for (int64_t length : lengths) strided.push_back(strided_length(length, stride));
  return strided;
}

}  // namespace rehearse
