// Collectives made of messages between all pairs of ranks, with waits that leave the core to others.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "trainer/comm/communicator.h"

namespace rehearse {

// Over MPI_COMM_WORLD, for the communication thread only; every rank makes the same calls in the same order. MPI's own
// blocking calls poll until they are done, and a rank's one core belongs to backward meanwhile: here a wait polls
// briefly, then sleeps between polls. All return MPI's code.
class MpiExchange {
 public:
  using Bytes = std::span<std::byte>;
  using ConstBytes = std::span<const std::byte>;
  MpiExchange(int rank, int size) : rank_(static_cast<size_t>(rank)), size_(static_cast<size_t>(size)) {}

  // Sends out[r] to rank r while in[r] comes from there; entries of this rank itself are ignored.
  int exchange(const std::vector<ConstBytes>& out, const std::vector<Bytes>& in) const;
  // In place, element-wise: each rank adds one slice of everybody's values, rank 0's first, then all get all slices. A
  // few values go to everybody whole. The bits depend on the values and the number of ranks alone.
  template <class T>
  int sum(std::span<T> values);
  // In place: bytes bounds[r] … bounds[r + 1] - 1 are rank r's.
  int gather(Bytes bytes, const std::vector<size_t>& bounds) const;
  int broadcast(Bytes bytes, int root) const;
  int barrier() const;

 private:
  template <class T>
  int sum_whole(std::span<T> values);
  template <class T>
  int sum_slices(std::span<T> values);
  template <class T>
  void add(std::span<T> own, size_t stride);
  Bytes scratch(size_t bytes);

  size_t rank_, size_;
  std::vector<std::byte> scratch_;  // what came from the others, for adding
};

float to_float(Bfloat16 value);
Bfloat16 to_bfloat16(float value);  // nearest, ties to even; NaN stays NaN

}  // namespace rehearse
