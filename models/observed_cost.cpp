#include "models/observed_cost.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/Allocator.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <map>
#include <string>
#include <unordered_map>

#include "models/acoustic_model.h"
#include "trainer/base/error.h"

namespace rehearse {
namespace {

using Inputs = c10::ArrayRef<const c10::IValue>;

double extent(const c10::IValue& tensor, int64_t dimension) {
  return static_cast<double>(tensor.toTensor().size(dimension));
}
double elements(const c10::IValue& tensor) {
  return static_cast<double>(tensor.toTensor().numel());
}

// Every position of a result costs the whole weight, divided or not into groups.
double convolved(const at::Tensor& result, const at::Tensor& weight) {
  return 2.0 * static_cast<double>(result.numel() / result.size(1)) * static_cast<double>(weight.numel());
}

// input, weight, bias, stride, padding, dilation, transposed, …
double convolution(const Inputs& in) {
  const at::Tensor input = in[0].toTensor(), weight = in[1].toTensor();
  REHEARSE_CHECK(!in[6].toBool(), "no block has a transposed convolution");
  const std::vector<int64_t> stride = in[3].toIntVector(), padding = in[4].toIntVector(),
                             dilation = in[5].toIntVector();
  double positions = static_cast<double>(input.size(0));
  for (int64_t d = 2; d < input.dim(); ++d) {
    const auto i = static_cast<size_t>(d - 2);
    const auto of = [i](const std::vector<int64_t>& all) { return all.size() == 1 ? all[0] : all[i]; };
    const int64_t covered = of(dilation) * (weight.size(d) - 1) + 1;
    positions *= static_cast<double>((input.size(d) + 2 * of(padding) - covered) / of(stride) + 1);
  }
  return 2 * positions * static_cast<double>(weight.numel());
}

// gradient, input, weight, bias sizes, stride, padding, dilation, transposed, output padding, groups, mask
double convolution_backward(const Inputs& in) {
  const c10::List<bool> mask = in[10].toBoolList();
  return (static_cast<int>(mask[0]) + static_cast<int>(mask[1])) * convolved(in[0].toTensor(), in[2].toTensor());
}

// query, key [B, H, T, d], value [B, H, S, e]: scores and their product with the values.
double attended(const c10::IValue& query, const c10::IValue& value) {
  const double keys = extent(value, -2);
  return 2 * elements(query) * keys + 2 * elements(query) / extent(query, -1) * keys * extent(value, -1);
}

const std::map<std::string, double (*)(const Inputs&)>& formulas() {
  static const std::map<std::string, double (*)(const Inputs&)> kFormulas = {
      {"aten::linear", [](const Inputs& in) { return 2 * elements(in[0]) * extent(in[1], 0); }},
      {"aten::mm", [](const Inputs& in) { return 2 * elements(in[0]) * extent(in[1], 1); }},
      {"aten::addmm", [](const Inputs& in) { return 2 * elements(in[1]) * extent(in[2], 1); }},
      {"aten::bmm", [](const Inputs& in) { return 2 * elements(in[0]) * extent(in[1], 2); }},
      {"aten::baddbmm", [](const Inputs& in) { return 2 * elements(in[1]) * extent(in[2], 2); }},
      {"aten::mv", [](const Inputs& in) { return 2 * elements(in[0]); }},
      {"aten::addmv", [](const Inputs& in) { return 2 * elements(in[1]); }},
      {"aten::convolution", convolution},
      {"aten::convolution_backward", convolution_backward},
      {"aten::scaled_dot_product_attention", [](const Inputs& in) { return attended(in[0], in[2]); }},
      // gradient, query, key, value, …
      {"aten::_scaled_dot_product_flash_attention_for_cpu_backward",
       [](const Inputs& in) { return 2 * attended(in[1], in[3]); }},
      {"rehearse::flops", [](const Inputs& in) { return in[0].toDouble(); }},
  };
  return kFormulas;
}

// RecordFunction::inputs() asserts, where assertions are compiled in, a mark that a libtorch built without them never
// sets. An explicit instantiation may name the private member.
Inputs inputs_of(const at::RecordFunction& function);
template <auto kMember>
struct InputsReader {
  friend Inputs inputs_of(const at::RecordFunction& function) { return function.*kMember; }
};
template struct InputsReader<&at::RecordFunction::inputs_>;

// libtorch calls functions, not objects.
thread_local FlopCounter* current_counter = nullptr;

}  // namespace

struct FlopCounter::Counted : at::ObserverContext {};

FlopCounter::FlopCounter() {
  REHEARSE_CHECK(current_counter == nullptr, "one counter at a time");
  current_counter = this;
  handle_ = at::addThreadLocalCallback(at::RecordFunctionCallback(begin, end)
                                           .needsInputs(true)
                                           .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
}

FlopCounter::~FlopCounter() {
  at::removeCallback(handle_);
  current_counter = nullptr;
}

std::unique_ptr<at::ObserverContext> FlopCounter::begin(const at::RecordFunction& function) {
  const auto found = formulas().find(function.name());
  if (found == formulas().end() || current_counter == nullptr) return nullptr;
  if (current_counter->depth_++ == 0) current_counter->flops_ += found->second(inputs_of(function));
  return std::make_unique<Counted>();
}

void FlopCounter::end(const at::RecordFunction&, at::ObserverContext* counted) {
  if (counted != nullptr && current_counter != nullptr) --current_counter->depth_;
}

struct AllocationCounter::Watch : c10::MemoryReportingInfoBase {
  bool memoryProfilingEnabled() const override { return true; }
  void reportMemoryUsage(void* block, int64_t size, size_t, size_t, c10::Device) override {
    if (size <= 0) {
      kept.erase(block);
      return;
    }
    kept[block] = size;
    bytes += size;
    ++allocations;
  }
  std::unordered_map<void*, int64_t> kept;
  int64_t allocations = 0, bytes = 0;
};

struct AllocationCounter::Guard {
  c10::DebugInfoGuard guard;
};

AllocationCounter::AllocationCounter()
    : watch_(std::make_shared<Watch>()),
      guard_(new Guard{c10::DebugInfoGuard(c10::DebugInfoKind::PROFILER_STATE, watch_)}) {}

AllocationCounter::~AllocationCounter() = default;

int64_t AllocationCounter::allocations() const {
  return watch_->allocations;
}

int64_t AllocationCounter::bytes() const {
  return watch_->bytes;
}

int64_t AllocationCounter::kept_bytes() const {
  int64_t sum = 0;
  for (const auto& [block, size] : watch_->kept) sum += size;
  return sum;
}

// Random numbers in and on the way back: a sum of ones behind a layer norm has no gradient at all.
std::vector<int64_t> receptive_fields(AcousticModel& model, int64_t channels, int64_t frames) {
  std::vector<int64_t> first(model.num_stages(), frames), last(model.num_stages(), -1);
  for (uint64_t draw = 0; draw < 2; ++draw) {  // a maximum passes one frame on; another draw, another frame
    const at::Tensor input = at::randn({1, frames, channels}, at::detail::createCPUGenerator(draw + 1), at::kFloat);
    input.requires_grad_(true);
    Sequence sequence{input, {frames}};
    for (size_t i = 0; i < model.num_stages(); ++i) {
      sequence = model.forward_stage(i, sequence, {});
      if (sequence.lengths[0] == 0) break;
      const at::Tensor middle = sequence.x.select(1, sequence.lengths[0] / 2);
      const at::Tensor weights = at::randn(middle.sizes(), at::detail::createCPUGenerator(draw + 3), at::kFloat);
      const at::Tensor slope = torch::autograd::grad({(middle * weights).sum()}, {input}, {}, /*retain_graph=*/true)[0];
      const at::Tensor reached = slope[0].ne(0).any(1).nonzero();
      if (reached.numel() == 0) continue;
      first[i] = std::min(first[i], reached.min().item<int64_t>());
      last[i] = std::max(last[i], reached.max().item<int64_t>());
    }
  }
  std::vector<int64_t> fields;
  for (size_t i = 0; i < first.size(); ++i) {
    const bool is_all = first[i] == 0 && last[i] == frames - 1;
    fields.push_back(is_all ? 0 : last[i] - first[i] + 1);
  }
  return fields;
}

}  // namespace rehearse
