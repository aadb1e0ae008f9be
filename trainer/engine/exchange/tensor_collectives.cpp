#include "trainer/engine/exchange/tensor_collectives.h"

#include <ATen/ATen.h>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

DeviceSpan device_span(const at::Tensor& values) {
  using Element = DeviceSpan::Element;
  const auto type = values.scalar_type();
  const Element element = type == at::kDouble  ? Element::kDouble
                          : type == at::kFloat ? Element::kFloat
                                               : Element::kBfloat16;
  return {values.data_ptr(), static_cast<size_t>(values.numel()), element};
}

template <class T>
std::span<T> host_span(const at::Tensor& values) {
  return {static_cast<T*>(values.data_ptr()), static_cast<size_t>(values.numel())};
}

void expect_collectable(const at::Tensor& values) {
  const auto type = values.scalar_type();
  REHEARSE_CHECK(values.is_contiguous() && (type == at::kDouble || type == at::kFloat || type == at::kBFloat16),
                 "collectives work on contiguous float, double or bfloat16; found ", toString(type));
}

}  // namespace

std::future<void> all_reduce_sum(Communicator& communicator, const at::Tensor& values, const std::string& what) {
  expect_collectable(values);
  if (!values.is_cpu()) return communicator.all_reduce_sum(device_span(values), what);
  if (values.scalar_type() == at::kDouble) return communicator.all_reduce_sum(host_span<double>(values), what);
  if (values.scalar_type() == at::kFloat) return communicator.all_reduce_sum(host_span<float>(values), what);
  return communicator.all_reduce_sum(host_span<Bfloat16>(values), what);
}

std::future<void> reduce_slices(Communicator& communicator, const at::Tensor& values, const std::vector<size_t>& bounds,
                                const std::string& what) {
  expect_collectable(values);
  REHEARSE_CHECK(values.scalar_type() != at::kDouble, "slices are reduced as float or bfloat16");
  if (!values.is_cpu()) return communicator.reduce_slices(device_span(values), bounds, what);
  if (values.scalar_type() == at::kFloat) return communicator.reduce_slices(host_span<float>(values), bounds, what);
  return communicator.reduce_slices(host_span<Bfloat16>(values), bounds, what);
}

std::future<void> all_gather_slices(Communicator& communicator, const at::Tensor& values,
                                    const std::vector<size_t>& bounds, const std::string& what) {
  expect_collectable(values);
  REHEARSE_CHECK(values.scalar_type() == at::kFloat, "slices are gathered as float; found ",
                 toString(values.scalar_type()));
  if (!values.is_cpu()) return communicator.all_gather_slices(device_span(values), bounds, what);
  return communicator.all_gather_slices(host_span<float>(values), bounds, what);
}

}  // namespace rehearse
