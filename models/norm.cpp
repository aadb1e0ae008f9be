#include "models/norm.h"

#include <cmath>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr double kEpsilon = 1e-5;

at::Tensor with_bias(const at::Tensor& x, const std::optional<at::Tensor>& bias) {
  return bias ? x + *bias : x;
}

class LayerNorm : public Norm {
 public:
  LayerNorm(ParameterStore& store, const std::string& name, int64_t channels)
      : weight_(store.constant(name + ".weight", {channels}, 1)),
        shift_(store.constant(name + ".bias", {channels}, 0)) {}

  at::Tensor forward(const at::Tensor& x, const std::optional<at::Tensor>& bias, const std::vector<int64_t>& lengths,
                     const ForwardContext&, const Epilogue& epilogue) override {
    return fused_layer_norm(x, bias, weight_, shift_, lengths, epilogue);
  }

 private:
  at::Tensor weight_;
  at::Tensor shift_;
};

class GroupNorm : public Norm {
 public:
  GroupNorm(ParameterStore& store, const std::string& name, int64_t channels, int64_t groups)
      : groups_(groups),
        weight_(store.constant(name + ".weight", {channels}, 1)),
        shift_(store.constant(name + ".bias", {channels}, 0)) {}

  at::Tensor forward(const at::Tensor& x, const std::optional<at::Tensor>& bias, const std::vector<int64_t>& lengths,
                     const ForwardContext&, const Epilogue& epilogue) override {
    const int64_t batch = x.size(0);
    const int64_t frames = x.size(1);
    const int64_t channels = x.size(2);
    const at::Tensor mask = frame_mask(x, lengths).unsqueeze(3);  // [B, T, 1, 1]
    const at::Tensor count =
        (mask.sum(at::IntArrayRef({1, 2, 3}), true) * (channels / groups_)).clamp_min(1);  // [B, 1, 1, 1]
    const at::Tensor grouped = with_bias(x, bias).view({batch, frames, groups_, channels / groups_});
    const at::Tensor mean = (grouped * mask).sum(at::IntArrayRef({1, 3}), true) / count;  // [B, 1, G, 1]
    const at::Tensor centred = (grouped - mean) * mask;
    const at::Tensor variance = centred.square().sum(at::IntArrayRef({1, 3}), true) / count;
    const at::Tensor normed = (centred * (variance + kEpsilon).rsqrt()).view({batch, frames, channels});
    return fused_gate(normed * weight_ + shift_, {}, {}, lengths, epilogue);
  }

 private:
  int64_t groups_;
  at::Tensor weight_;
  at::Tensor shift_;
};

// Over utterances and frames.
at::Tensor frame_sum(const at::Tensor& x) {
  return x.sum(at::IntArrayRef({0, 1}));
}

struct BatchNormCall : torch::CustomClassHolder {
  AllReduceSum all_reduce_sum;
  at::Tensor mask;      // [B, T, 1]
  at::Tensor mean;      // [C] filled by forward
  at::Tensor variance;  // [C]
  at::Tensor count;     // [] double: real frames over all ranks, at least 1
};

// Statistics over the real frames of all ranks: Σx, Σx² and the count travel together in double.
struct BatchNormFunction : torch::autograd::Function<BatchNormFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& shift, const c10::intrusive_ptr<BatchNormCall>& call) {
    const int64_t channels = x.size(2);
    const at::Tensor real = (x * call->mask).to(at::kDouble);
    at::Tensor sums = at::cat({frame_sum(real), frame_sum(real.square()), call->mask.sum().to(at::kDouble).view({1})});
    if (call->all_reduce_sum) call->all_reduce_sum(sums);
    call->count = sums[2 * channels].clamp_min(1.0);
    const at::Tensor mean = sums.slice(0, 0, channels) / call->count;
    const at::Tensor variance = (sums.slice(0, channels, 2 * channels) / call->count - mean.square()).clamp_min(0);
    call->mean = mean.to(x.scalar_type());
    call->variance = variance.to(x.scalar_type());
    const at::Tensor rstd = (variance + kEpsilon).rsqrt().to(x.scalar_type());
    const at::Tensor normed = (x - call->mean) * rstd;
    context->save_for_backward({normed, weight, rstd});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    return normed * weight + shift;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const auto holder = context->saved_data["call"].toCapsule();
    const auto& call = static_cast<const BatchNormCall&>(*holder);
    const at::Tensor& normed = saved[0];
    const at::Tensor dy = gradients[0] * call.mask;
    const at::Tensor dshift = frame_sum(dy);
    const at::Tensor dweight = frame_sum(dy * normed);
    at::Tensor sums = at::stack({dshift, dweight}).to(at::kDouble);
    if (call.all_reduce_sum) call.all_reduce_sum(sums);
    sums = (sums / call.count).to(dy.scalar_type());
    const at::Tensor dx = (dy - sums[0] - normed * sums[1]) * (saved[1] * saved[2]) * call.mask;
    return {dx, dweight, dshift, at::Tensor()};
  }
};

// target += factor · scale · x, with a scale that a device keeps to itself: reading it would make the host wait.
void add_scaled(at::Tensor& target, const at::Tensor& x, const at::Tensor& scale, double factor) {
  if (target.is_cpu())
    target.add_(x, factor * scale.item<double>());
  else
    target.addcmul_(x, scale.to(x.scalar_type()), factor);
}

// Running statistics follow torch: momentum 0.1, unbiased variance. Evaluation uses them. They become those of the
// update with the update: moved once per micro-batch or, where each micro-batch is a group of its own, by the mean. A
// frozen one evaluates in training, too, and its statistics stay.
class BatchNorm : public Norm {
 public:
  BatchNorm(const Block::Context& context, const std::string& name, int64_t channels, bool is_per_micro_batch)
      : all_reduce_sum_(is_per_micro_batch ? AllReduceSum() : context.all_reduce_sum),
        weight_(context.store->constant(name + ".weight", {channels}, 1)),
        shift_(context.store->constant(name + ".bias", {channels}, 0)) {
    if (is_per_micro_batch) {
      mean_ = context.store->averaged_buffer(name + ".running_mean", {channels}, 0);
      variance_ = context.store->averaged_buffer(name + ".running_var", {channels}, 1);
    } else {
      mean_ = context.store->buffer(name + ".running_mean", {channels}, 0);
      variance_ = context.store->buffer(name + ".running_var", {channels}, 1);
    }
  }

  at::Tensor forward(const at::Tensor& x, const std::optional<at::Tensor>& bias, const std::vector<int64_t>& lengths,
                     const ForwardContext& context, const Epilogue& epilogue) override {
    if (!context.is_training || !weight_.requires_grad()) {
      const at::Tensor scale = weight_ * (variance_.tensor + kEpsilon).rsqrt();
      const at::Tensor shift = shift_ + (bias ? *bias - mean_.tensor : -mean_.tensor) * scale;
      if (at::GradMode::is_enabled() && (x.requires_grad() || shift.requires_grad()))
        return fused_gate(x * scale + shift, {}, {}, lengths, epilogue);
      return fused_affine(x, scale, shift, lengths, epilogue);
    }
    const at::Tensor input = with_bias(x, bias);
    auto call = c10::make_intrusive<BatchNormCall>();
    call->all_reduce_sum = all_reduce_sum_;
    call->mask = frame_mask(x, lengths);
    const at::Tensor y = BatchNormFunction::apply(input, weight_, shift_, call);
    measure(*call);
    return fused_gate(y, {}, {}, lengths, epilogue);
  }

 private:
  void measure(const BatchNormCall& call) {
    const at::Tensor unbias = call.count / (call.count - 1).clamp_min(1.0);
    if (mean_.sum.defined()) {
      mean_.sum.add_(call.mean);
      add_scaled(variance_.sum, call.variance, unbias, 1);
      return;
    }
    mean_.next.mul_(1 - kBufferMomentum).add_(call.mean, kBufferMomentum);
    add_scaled(variance_.next.mul_(1 - kBufferMomentum), call.variance, unbias, kBufferMomentum);
  }

  AllReduceSum all_reduce_sum_;
  at::Tensor weight_;
  at::Tensor shift_;
  Buffer mean_;
  Buffer variance_;
};

class NoNorm : public Norm {
 public:
  at::Tensor forward(const at::Tensor& x, const std::optional<at::Tensor>& bias, const std::vector<int64_t>& lengths,
                     const ForwardContext&, const Epilogue& epilogue) override {
    return fused_gate(with_bias(x, bias), {}, {}, lengths, epilogue);
  }
};

}  // namespace

Activation activation_from(ConfigNode& node, const std::string& fallback) {
  const std::string name = node.choice("activation", fallback, {"relu", "silu", "none"});
  return name == "relu" ? Activation::kRelu : name == "silu" ? Activation::kSilu : Activation::kNone;
}

double dropout_from(ConfigNode& node, double fallback) {
  return node.number("dropout", fallback, {0, 0.95});
}

NormOptions NormOptions::from(ConfigNode& node) {
  NormOptions options;
  options.kind = node.choice("norm", options.kind, {"layer", "group", "batch", "none"});
  if (options.kind == "group")  // `groups` was its name, in old configurations and checkpoints
    options.groups = node.integer(node.has("groups") ? "groups" : "norm_groups", options.groups, {1, 1 << 16});
  if (options.kind == "batch")
    options.is_per_micro_batch = node.choice("norm_group", "all_ranks", {"all_ranks", "micro_batch"}) == "micro_batch";
  return options;
}

LayerEnd LayerEnd::from(ConfigNode& node) {
  LayerEnd end;
  end.norm = NormOptions::from(node);
  end.activation = activation_from(node, "relu");
  end.dropout = dropout_from(node, end.dropout);
  return end;
}

std::unique_ptr<Norm> Norm::create(const NormOptions& options, const Block::Context& context, const std::string& name,
                                   int64_t channels) {
  if (options.kind == "layer") return std::make_unique<LayerNorm>(*context.store, name, channels);
  if (options.kind == "batch") return std::make_unique<BatchNorm>(context, name, channels, options.is_per_micro_batch);
  if (options.kind == "none") return std::make_unique<NoNorm>();
  if (channels % options.groups != 0)
    throw ConfigError(context.where, ".norm_groups: expected a divisor of ", channels, " channels; found ",
                      options.groups);
  return std::make_unique<GroupNorm>(*context.store, name, channels, options.groups);
}

}  // namespace rehearse
