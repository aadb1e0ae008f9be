// In-place sums over MPI_COMM_WORLD in two ways. All return MPI's code; communication thread only.
#pragma once

#include <span>

#include "trainer/comm/communicator.h"

namespace rehearse {

// MPI_Allreduce: fast, and the order of additions is the library's. bfloat16 travels as two bytes.
int sum_in_any_order(std::span<float> values);
int sum_in_any_order(std::span<double> values);
int sum_in_any_order(std::span<Bfloat16> values);

// Each rank adds one slice of everybody's values, rank 0's first, then all slices are gathered: the bits depend on the
// values and the number of ranks only. Needs room for one more copy of the values.
int sum_in_rank_order(std::span<float> values, int rank, int size);
int sum_in_rank_order(std::span<double> values, int rank, int size);
int sum_in_rank_order(std::span<Bfloat16> values, int rank, int size);

float to_float(Bfloat16 value);
Bfloat16 to_bfloat16(float value);  // nearest, ties to even; NaN stays NaN

}  // namespace rehearse
