#include "trainer/comm/mpi_sums.h"

#include <mpi.h>

#include <bit>
#include <vector>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

template <class T>
T sum_of(T a, T b) {
  return a + b;
}
template <>
Bfloat16 sum_of(Bfloat16 a, Bfloat16 b) {
  return to_bfloat16(to_float(a) + to_float(b));
}

void add_bfloat16(void* from, void* to, int* count, MPI_Datatype*) {
  const auto* in = static_cast<const Bfloat16*>(from);
  auto* sums = static_cast<Bfloat16*>(to);
  for (int i = 0; i < *count; ++i) sums[i] = sum_of(sums[i], in[i]);
}

// One per process; MPI frees it at its end.
MPI_Op bfloat16_addition() {
  static const MPI_Op operation = [] {
    MPI_Op made = MPI_OP_NULL;
    if (MPI_Op_create(add_bfloat16, /*commute=*/1, &made) != MPI_SUCCESS)
      throw CommError(
          "mpi: expected an operation for bfloat16 from MPI_Op_create; found a failure; "
          "use optimizer.reduce_dtype: float32");
    return made;
  }();
  return operation;
}

template <class T>
int sum_slices(std::span<T> values, int rank, int size, MPI_Datatype type) {
  std::vector<int> counts(static_cast<size_t>(size)), offsets(static_cast<size_t>(size));
  for (int r = 0; r < size; ++r) {
    offsets[static_cast<size_t>(r)] = static_cast<int>(values.size() * static_cast<size_t>(r) / size);
    counts[static_cast<size_t>(r)] =
        static_cast<int>(values.size() * static_cast<size_t>(r + 1) / size) - offsets[static_cast<size_t>(r)];
  }
  const auto own = static_cast<size_t>(counts[static_cast<size_t>(rank)]);
  const std::vector<int> own_counts(static_cast<size_t>(size), static_cast<int>(own));
  std::vector<int> own_offsets(static_cast<size_t>(size));
  for (size_t r = 0; r < own_offsets.size(); ++r) own_offsets[r] = static_cast<int>(r * own);
  std::vector<T> parts(own * static_cast<size_t>(size));
  const int code = MPI_Alltoallv(values.data(), counts.data(), offsets.data(), type, parts.data(), own_counts.data(),
                                 own_offsets.data(), type, MPI_COMM_WORLD);
  if (code != MPI_SUCCESS) return code;
  T* sums = values.data() + offsets[static_cast<size_t>(rank)];
  for (size_t i = 0; i < own; ++i) {
    T sum = parts[i];
    for (size_t r = 1; r < static_cast<size_t>(size); ++r) sum = sum_of(sum, parts[r * own + i]);
    sums[i] = sum;
  }
  return MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values.data(), counts.data(), offsets.data(), type,
                        MPI_COMM_WORLD);
}

template <class T>
int all_reduce(std::span<T> values, MPI_Datatype type, MPI_Op operation) {
  return MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), type, operation, MPI_COMM_WORLD);
}

}  // namespace

float to_float(Bfloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

Bfloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (value != value) return {static_cast<uint16_t>((bits >> 16) | 0x40)};  // still a NaN after the cut
  return {static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}

int sum_in_any_order(std::span<float> values) {
  return all_reduce(values, MPI_FLOAT, MPI_SUM);
}
int sum_in_any_order(std::span<double> values) {
  return all_reduce(values, MPI_DOUBLE, MPI_SUM);
}
int sum_in_any_order(std::span<Bfloat16> values) {
  return all_reduce(values, MPI_UINT16_T, bfloat16_addition());
}

int sum_in_rank_order(std::span<float> values, int rank, int size) {
  return sum_slices(values, rank, size, MPI_FLOAT);
}
int sum_in_rank_order(std::span<double> values, int rank, int size) {
  return sum_slices(values, rank, size, MPI_DOUBLE);
}
int sum_in_rank_order(std::span<Bfloat16> values, int rank, int size) {
  return sum_slices(values, rank, size, MPI_UINT16_T);
}

}  // namespace rehearse
