// Collectives in two levels: within a host through shared memory, between hosts by messages.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "trainer/comm/communicator.h"
#include "trainer/comm/host_memory.h"
#include "trainer/comm/messages.h"

namespace rehearse {

// For the communication thread only; every rank makes the same calls in the same order. What the calls cost is in
// BENCH.md. All return MPI's code.
class MpiExchange {
 public:
  using Bytes = std::span<std::byte>;
  using ConstBytes = std::span<const std::byte>;
  // Collective. Ranks with the same `host` share memory; where that is refused, each of them is a host of its own.
  explicit MpiExchange(int host, size_t longest_message = Messages::kLongest);
  // The number that the ranks of this machine have in common.
  static int own_host();

  // In place, element-wise: values of a host are added in the order of its ranks, then those of hosts in the order of
  // their first ranks. The bits depend on the values and on which rank is where alone.
  template <class T>
  int sum(std::span<T> values);
  // The same sums; rank r needs values bounds[r] … bounds[r + 1] - 1 alone, and the others are anything afterwards.
  template <class T>
  int sum_slices(std::span<T> values, const std::vector<size_t>& bounds);
  // In place: bytes bounds[r] … bounds[r + 1] - 1 are rank r's.
  int gather(Bytes bytes, const std::vector<size_t>& bounds);
  int broadcast(Bytes bytes, int root);
  int barrier();

  const std::vector<std::vector<int>>& hosts() const { return hosts_; }
  // Why ranks of one machine do not share memory, on the first of them; empty where they do.
  const std::string& refusal() const { return refusal_; }
  Traffic traffic() const;

 private:
  // A part of a buffer that one rank of this host hands to the others: ranges one after another.
  using Ranges = std::vector<Bytes>;

  // Elements of a round that one rank or host needs.
  struct Wanted {
    size_t begin = 0, end = 0;
    Wanted within(size_t first, size_t last) const;
  };
  template <class T, class Want>
  int sum_rounds(std::span<T> values, Want want);
  template <class T>
  int sum_round(std::span<T> values, Wanted own, const std::vector<Wanted>& by_host);
  template <class T>
  int sum_between_hosts(std::span<T> values, const std::vector<Wanted>& by_host);
  template <class T>
  void add_slots(std::span<T> own, size_t first) const;
  template <class T>
  static void copy_around(const T* from, T* to, Wanted all, size_t begin, size_t end);
  int gather_between_hosts(Bytes bytes, const std::vector<size_t>& bounds, size_t lane, size_t num_lanes);
  void share(const std::vector<Ranges>& parts);
  void meet();
  size_t lanes_for(size_t bytes) const;
  size_t take_turn(size_t num_lanes);
  int partner(size_t host, size_t local) const { return hosts_[host][local]; }
  Bytes scratch(size_t bytes);

  int rank_ = 0;
  std::vector<std::vector<int>> hosts_;  // ranks of each, in order; hosts in the order of their first ranks
  size_t host_ = 0, local_ = 0;          // this rank's place in them
  size_t num_local_ = 1, most_lanes_ = 1;
  size_t turn_ = 0;
  size_t round_bytes_ = 0;              // of values that go through memory at once, equal on every rank
  std::unique_ptr<HostMemory> memory_;  // null: this rank is alone on its host
  std::string refusal_;
  Messages messages_;
  uint64_t shared_bytes_ = 0;
  std::vector<std::byte> scratch_;
};

float to_float(Bfloat16 value);
Bfloat16 to_bfloat16(float value);  // nearest, ties to even; NaN stays NaN

}  // namespace rehearse
