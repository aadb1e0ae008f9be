#include "models/ops/device_ops.h"

#include <algorithm>
#include <numeric>

#include "models/kernels/device_ctc.h"
#include "models/kernels/device_depthwise.h"
#include "models/kernels/device_frames.h"
#include "models/kernels/device_memory.h"
#include "models/ops/host_copy.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

// The table, for tensors that it can work on.
const DeviceTable& kernels_for(const at::Tensor& x) {
  REHEARSE_CHECK(installed_device_table(), "tensors come to a device through the CUDA plug-in; found one on ",
                 x.device().str());
  REHEARSE_CHECK(x.scalar_type() == at::kFloat && x.is_contiguous(), "device kernels know contiguous float; found ",
                 toString(x.scalar_type()));
  return *installed_device_table();
}

float* data(const at::Tensor& x) {
  return x.defined() ? x.mutable_data_ptr<float>() : nullptr;
}
const float* values(const at::Tensor& x) {
  return x.defined() ? x.const_data_ptr<float>() : nullptr;
}

DeviceDepthwise depthwise_call(const DeviceTable& kernels, const at::Tensor& x, const std::vector<int64_t>& lengths,
                               const DepthwiseShape& shape) {
  return {shape, x.size(0), x.size(1), lengths.data(), kernels.get<CurrentStreamOnDevice>()()};
}

DeviceBatch batch_of(const DeviceTable& kernels, const at::Tensor& x, const std::vector<int64_t>& lengths,
                     const Epilogue& epilogue) {
  return {x.size(0),
          x.size(1),
          x.size(2),
          lengths.data(),
          epilogue.dropout.empty() ? nullptr : epilogue.dropout.data(),
          epilogue.activation,
          kernels.get<CurrentStreamOnDevice>()()};
}

DeviceLayerNorm norm_of(const DeviceNormTensors& tensors) {
  float* moments = data(tensors.moments);
  return {values(tensors.x),
          values(tensors.bias),
          values(tensors.weight),
          values(tensors.shift),
          moments,
          moments + tensors.x.size(0) * tensors.x.size(1),
          tensors.epsilon};
}

// Targets and what the kernels want to know about utterances, as one array of int32 for one upload.
struct CtcTable {
  std::vector<DeviceCtcUtterance> utterances;
  std::vector<int32_t> tokens, order, groups;
  int64_t states = 1;

  void add(const std::vector<int32_t>& target, int64_t frames, double weight) {
    DeviceCtcUtterance one;
    one.tokens = static_cast<int32_t>(tokens.size());
    one.groups = static_cast<int32_t>(groups.size());
    one.frames = static_cast<int32_t>(frames);
    one.weight = static_cast<float>(weight);
    if (frames > 0) {
      one.num_labels = static_cast<int32_t>(target.size());
      states = std::max(states, 2 * static_cast<int64_t>(target.size()) + 1);
      add_groups(target, one);
    }
    utterances.push_back(one);
  }
  void add_groups(const std::vector<int32_t>& target, DeviceCtcUtterance& one) {
    std::vector<int32_t> places(target.size());
    std::iota(places.begin(), places.end(), 0);
    std::stable_sort(places.begin(), places.end(), [&](int32_t a, int32_t b) { return target[a] < target[b]; });
    for (size_t i = 0; i < places.size(); ++i)
      if (i == 0 || target[places[i]] != target[places[i - 1]]) groups.push_back(static_cast<int32_t>(i));
    one.num_groups = static_cast<int32_t>(groups.size()) - one.groups;
    groups.push_back(static_cast<int32_t>(places.size()));
    tokens.insert(tokens.end(), target.begin(), target.end());
    order.insert(order.end(), places.begin(), places.end());
  }
  at::Tensor packed() const {
    constexpr size_t kEach = sizeof(DeviceCtcUtterance) / sizeof(int32_t);
    const size_t head = utterances.size() * kEach;
    at::Tensor all = at::empty({static_cast<int64_t>(head + 2 * tokens.size() + groups.size())}, at::kInt);
    auto* to = all.mutable_data_ptr<int32_t>();
    std::memcpy(to, utterances.data(), head * sizeof(int32_t));
    to = std::copy(tokens.begin(), tokens.end(), to + head);
    to = std::copy(order.begin(), order.end(), to);
    std::copy(groups.begin(), groups.end(), to);
    return all;
  }
};

}  // namespace

at::Tensor to_device_of(const at::Tensor& like, const at::Tensor& host) {
  return like.is_cpu() ? host : host.pin_memory().to(like.device(), /*non_blocking=*/true);
}

at::Tensor device_depthwise_forward(const at::Tensor& x, const at::Tensor& weight, const std::vector<int64_t>& lengths,
                                    const DepthwiseShape& shape) {
  const DeviceTable& kernels = kernels_for(x);
  at::Tensor y = at::empty({x.size(0), shape.output_frames(x.size(1)), x.size(2)}, x.options());
  kernels.get<DepthwiseForwardOnDevice>()(depthwise_call(kernels, x, lengths, shape), values(x), values(weight),
                                          data(y));
  return y;
}

at::Tensor device_depthwise_grad_input(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& dy,
                                       const std::vector<int64_t>& lengths, const DepthwiseShape& shape) {
  const DeviceTable& kernels = kernels_for(dy);
  at::Tensor dx = at::empty(x.sizes(), x.options());
  kernels.get<DepthwiseGradInputOnDevice>()(depthwise_call(kernels, x, lengths, shape), values(dy), values(weight),
                                            data(dx));
  return dx;
}

at::Tensor device_depthwise_grad_weight(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& dy,
                                        const std::vector<int64_t>& lengths, const DepthwiseShape& shape) {
  const DeviceTable& kernels = kernels_for(x);
  at::Tensor dweight = at::empty(weight.sizes(), weight.options());
  const int64_t pieces = x.size(0) * pieces_of(dy.size(1));
  const at::Tensor partials = at::empty({pieces, weight.size(0), weight.size(1)}, weight.options());
  kernels.get<DepthwiseGradWeightOnDevice>()(depthwise_call(kernels, x, lengths, shape), values(x), values(dy),
                                             data(dweight), data(partials));
  return dweight;
}

at::Tensor device_layer_norm_forward(const DeviceNormTensors& tensors, const std::vector<int64_t>& lengths,
                                     const Epilogue& epilogue) {
  const DeviceTable& kernels = kernels_for(tensors.x);
  at::Tensor y = at::empty(tensors.x.sizes(), tensors.x.options());
  kernels.get<LayerNormForwardOnDevice>()(batch_of(kernels, tensors.x, lengths, epilogue), norm_of(tensors), data(y));
  return y;
}

DeviceNormGradients device_layer_norm_backward(const DeviceNormTensors& tensors, const at::Tensor& dy,
                                               const std::vector<int64_t>& lengths, const Epilogue& epilogue) {
  const at::Tensor& x = tensors.x;
  const DeviceTable& kernels = kernels_for(x);
  DeviceNormGradients out{at::empty(x.sizes(), x.options()), at::empty({3, x.size(2)}, x.options())};
  const at::Tensor partials = at::empty({x.size(0) * pieces_of(x.size(1)), 3, x.size(2)}, x.options());
  kernels.get<LayerNormBackwardOnDevice>()(batch_of(kernels, x, lengths, epilogue), norm_of(tensors),
                                           {values(dy), data(out.dx), data(out.sums), data(partials)});
  return out;
}

at::Tensor device_gate_forward(const DeviceGateTensors& tensors, const std::vector<int64_t>& lengths,
                               const Epilogue& epilogue) {
  const DeviceTable& kernels = kernels_for(tensors.x);
  at::Tensor y = at::empty(tensors.x.sizes(), tensors.x.options());
  kernels.get<GateForwardOnDevice>()(batch_of(kernels, tensors.x, lengths, epilogue),
                                     {values(tensors.x), values(tensors.gate), values(tensors.residual)}, data(y));
  return y;
}

DeviceGateResults device_gate_backward(const DeviceGateTensors& tensors, const at::Tensor& dy,
                                       const std::vector<int64_t>& lengths, const Epilogue& epilogue) {
  const at::Tensor& x = tensors.x;
  const DeviceTable& kernels = kernels_for(x);
  DeviceGateResults out;
  out.dx = at::empty(x.sizes(), x.options());
  at::Tensor partials;
  if (tensors.gate.defined()) {
    out.dgate = at::empty(tensors.gate.sizes(), x.options());
    partials = at::empty({x.size(0), pieces_of(x.size(1)), x.size(2)}, x.options());
    if (tensors.residual.defined()) out.dresidual = at::empty(x.sizes(), x.options());
  }
  kernels.get<GateBackwardOnDevice>()(batch_of(kernels, x, lengths, epilogue),
                                      {values(x), values(tensors.gate), values(tensors.residual)},
                                      {values(dy), data(out.dx), data(out.dresidual), data(out.dgate), data(partials)});
  // Without a gate both gradients are the same numbers.
  if (tensors.residual.defined() && !tensors.gate.defined()) out.dresidual = out.dx;
  return out;
}

at::Tensor device_ctc(const at::Tensor& logits, const std::vector<int64_t>& lengths,
                      const std::vector<std::vector<int32_t>>& targets, int32_t blank,
                      const std::vector<double>& weights, CtcLoss& result) {
  const DeviceTable& kernels = kernels_for(logits);
  CtcTable table;
  for (size_t b = 0; b < lengths.size(); ++b) {
    result.is_infeasible[b] = weights[b] != 0 && ctc_frames_needed(targets[b]) > lengths[b];
    table.add(targets[b], weights[b] == 0 || result.is_infeasible[b] ? 0 : lengths[b], weights[b]);
  }
  const at::Tensor packed = to_device_of(logits, table.packed());
  const auto* head = packed.const_data_ptr<int32_t>();
  const int32_t* tokens = head + table.utterances.size() * sizeof(DeviceCtcUtterance) / sizeof(int32_t);
  const int64_t batch = logits.size(0), frames = logits.size(1);
  const at::TensorOptions doubles = logits.options().dtype(at::kDouble);
  const at::Tensor row_log_sum = at::empty({batch, frames}, doubles);
  const at::Tensor lattice = at::empty({2, batch, frames, table.states}, doubles);
  const bool is_wide = table.states > kMostSharedStates;
  const at::Tensor rows = is_wide ? at::empty({batch, 2, 2, table.states}, doubles) : at::Tensor();
  const at::Tensor losses = at::empty({batch}, doubles);
  const at::Tensor gradient = at::empty(logits.sizes(), logits.options());
  double* alpha = lattice.mutable_data_ptr<double>();
  kernels.get<CtcOnDevice>()({values(logits), batch, frames, logits.size(2), blank, table.states,
                              reinterpret_cast<const DeviceCtcUtterance*>(head), tokens, tokens + table.tokens.size(),
                              tokens + 2 * table.tokens.size(), row_log_sum.mutable_data_ptr<double>(), alpha,
                              alpha + lattice.numel() / 2, is_wide ? rows.mutable_data_ptr<double>() : nullptr,
                              losses.mutable_data_ptr<double>(), data(gradient),
                              kernels.get<CurrentStreamOnDevice>()()});
  const at::Tensor scale = to_device_of(logits, at::tensor(at::ArrayRef<double>(weights), at::kDouble));
  result.sum = (losses * scale).sum().to(logits.scalar_type());
  result.pending = std::make_shared<HostCopy>(losses);
  return gradient;
}

at::Tensor device_argmax(const at::Tensor& logits) {
  const DeviceTable& kernels = kernels_for(logits);
  at::Tensor best = at::empty({logits.size(0), logits.size(1)}, logits.options().dtype(at::kInt));
  kernels.get<ArgmaxOnDevice>()(values(logits), best.numel(), logits.size(2), best.mutable_data_ptr<int32_t>(),
                                kernels.get<CurrentStreamOnDevice>()());
  return best;
}

}  // namespace rehearse
