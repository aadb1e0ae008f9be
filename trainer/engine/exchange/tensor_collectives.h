// Collectives on tensors: the one place that knows how a tensor's memory and element type travel.
#pragma once

#include <ATen/core/Tensor.h>

#include <future>
#include <string>
#include <vector>

#include "trainer/comm/communicator.h"

namespace rehearse {

// Sums a contiguous tensor of float, double or bfloat16 over all ranks, in place; see Communicator::all_reduce_sum for
// when it is done. The tensor lives until then.
std::future<void> all_reduce_sum(Communicator& communicator, const at::Tensor& values, const std::string& what);

// The same sums of float or bfloat16, of which each rank needs elements bounds[rank] … bounds[rank + 1] - 1.
std::future<void> reduce_slices(Communicator& communicator, const at::Tensor& values, const std::vector<size_t>& bounds,
                                const std::string& what);

// In place, of float: afterwards every rank holds, of each rank r, elements bounds[r] … bounds[r + 1] - 1.
std::future<void> all_gather_slices(Communicator& communicator, const at::Tensor& values,
                                    const std::vector<size_t>& bounds, const std::string& what);

}  // namespace rehearse
