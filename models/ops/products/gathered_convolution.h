// A convolution over time as one matrix product of copied rows, for devices.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace rehearse {

// x [B, T, I], weight [O, K, I] of one type -> [B, T', O] with K / 2 zeros on both sides, T' = ⌊(T − 1) / stride⌋ + 1;
// differentiable. Each output frame's K · I values are copied into a row, forward and again backward; cuDNN would make
// and keep a plan for every new length instead, and micro-batches hardly ever have the same one.
at::Tensor gathered_convolution(const at::Tensor& x, const at::Tensor& weight, int64_t stride);

// Whether the rows stay within 512 MiB.
bool can_gather(const at::Tensor& x, const at::Tensor& weight, int64_t stride);

}  // namespace rehearse
