#include "trainer/comm/mpi_exchange.h"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <thread>

namespace rehearse {
namespace {

constexpr size_t kWholeBytes = 4096;               // up to here one round of messages is cheaper than two
constexpr size_t kMessageBytes = size_t{1} << 30;  // MPI counts are int
// A wait polls at once, then after pauses that grow: what other ranks do in microseconds is found in microseconds, and
// what a wire does in milliseconds takes little of the core. A gigabit a second fills 31 KB of a socket's buffer a
// pause.
constexpr int kEagerPolls = 16;
constexpr auto kPause = std::chrono::microseconds(25), kLongestPause = std::chrono::microseconds(250);
constexpr size_t kBlock = 2048;  // elements that are added up at a time, in cache

int wait_for(std::vector<MPI_Request>& requests) {
  std::vector<MPI_Status> statuses(requests.size());
  for (int polls = 0;; ++polls) {
    int is_done = 0;
    const int code = MPI_Testall(static_cast<int>(requests.size()), requests.data(), &is_done, statuses.data());
    if (code == MPI_ERR_IN_STATUS)
      for (const MPI_Status& status : statuses)
        if (status.MPI_ERROR != MPI_SUCCESS && status.MPI_ERROR != MPI_ERR_PENDING) return status.MPI_ERROR;
    if (code != MPI_SUCCESS || is_done) return code;
    if (polls < kEagerPolls)
      sched_yield();
    else
      std::this_thread::sleep_for(std::min(kLongestPause, kPause * (polls - kEagerPolls + 1)));
  }
}

int wait_for(MPI_Request request) {
  std::vector<MPI_Request> one = {request};
  return wait_for(one);
}

template <class T>
T sum_of(T a, T b) {
  return a + b;
}
template <>
Bfloat16 sum_of(Bfloat16 a, Bfloat16 b) {
  return to_bfloat16(to_float(a) + to_float(b));
}

}  // namespace

int MpiExchange::exchange(const std::vector<ConstBytes>& out, const std::vector<Bytes>& in) const {
  std::vector<MPI_Request> requests;
  const auto post = [&](auto bytes, auto&& call) {
    for (size_t at = 0; at < bytes.size(); at += kMessageBytes) {
      const auto count = static_cast<int>(std::min(kMessageBytes, bytes.size() - at));
      const int code = call(bytes.data() + at, count, &requests.emplace_back(MPI_REQUEST_NULL));
      if (code != MPI_SUCCESS) return code;
    }
    return MPI_SUCCESS;
  };
  // Each rank begins with its right-hand neighbour, so that nobody is everybody's first.
  for (size_t distance = 1; distance < size_; ++distance) {
    const size_t from = (rank_ + size_ - distance) % size_;
    const int code = post(in[from], [&](std::byte* data, int count, MPI_Request* request) {
      return MPI_Irecv(data, count, MPI_BYTE, static_cast<int>(from), 0, MPI_COMM_WORLD, request);
    });
    if (code != MPI_SUCCESS) return code;
  }
  for (size_t distance = 1; distance < size_; ++distance) {
    const size_t to = (rank_ + distance) % size_;
    const int code = post(out[to], [&](const std::byte* data, int count, MPI_Request* request) {
      return MPI_Isend(data, count, MPI_BYTE, static_cast<int>(to), 0, MPI_COMM_WORLD, request);
    });
    if (code != MPI_SUCCESS) return code;
  }
  return wait_for(requests);
}

MpiExchange::Bytes MpiExchange::scratch(size_t bytes) {
  if (scratch_.size() < bytes) scratch_.resize(bytes);
  return {scratch_.data(), bytes};
}

// `own` += what lies in the scratch, where rank r's part begins at byte r * stride; rank 0's values first.
template <class T>
void MpiExchange::add(std::span<T> own, size_t stride) {
  T sums[kBlock];
  for (size_t at = 0; at < own.size(); at += kBlock) {
    const size_t count = std::min(kBlock, own.size() - at);
    for (size_t rank = 0; rank < size_; ++rank) {
      const T* part =
          rank == rank_ ? own.data() + at : reinterpret_cast<const T*>(scratch_.data() + rank * stride) + at;
      if (rank == 0)
        std::copy_n(part, count, sums);
      else
        for (size_t i = 0; i < count; ++i) sums[i] = sum_of(sums[i], part[i]);
    }
    std::copy_n(sums, count, own.data() + at);
  }
}

template <class T>
int MpiExchange::sum_whole(std::span<T> values) {
  const size_t bytes = values.size_bytes();
  const Bytes parts = scratch(bytes * size_);
  std::vector<Bytes> in;
  for (size_t rank = 0; rank < size_; ++rank) in.push_back(parts.subspan(rank * bytes, bytes));
  const int code = exchange(std::vector<ConstBytes>(size_, std::as_bytes(values)), in);
  if (code == MPI_SUCCESS) add(values, bytes);
  return code;
}

template <class T>
int MpiExchange::sum_slices(std::span<T> values) {
  std::vector<size_t> bounds;
  for (size_t rank = 0; rank <= size_; ++rank) bounds.push_back(values.size() * rank / size_);
  const std::span<T> own = values.subspan(bounds[rank_], bounds[rank_ + 1] - bounds[rank_]);
  const size_t bytes = own.size_bytes();
  const Bytes parts = scratch(bytes * size_);
  std::vector<ConstBytes> out;
  std::vector<Bytes> in;
  for (size_t rank = 0; rank < size_; ++rank) {
    out.push_back(std::as_bytes(values.subspan(bounds[rank], bounds[rank + 1] - bounds[rank])));
    in.push_back(parts.subspan(rank * bytes, bytes));
  }
  if (const int code = exchange(out, in); code != MPI_SUCCESS) return code;
  add(own, bytes);
  for (size_t& bound : bounds) bound *= sizeof(T);
  return gather(std::as_writable_bytes(values), bounds);
}

template <class T>
int MpiExchange::sum(std::span<T> values) {
  return values.size_bytes() <= kWholeBytes ? sum_whole(values) : sum_slices(values);
}
template int MpiExchange::sum(std::span<float>);
template int MpiExchange::sum(std::span<double>);
template int MpiExchange::sum(std::span<Bfloat16>);

int MpiExchange::gather(Bytes bytes, const std::vector<size_t>& bounds) const {
  std::vector<Bytes> slices;
  for (size_t rank = 0; rank < size_; ++rank)
    slices.push_back(bytes.subspan(bounds[rank], bounds[rank + 1] - bounds[rank]));
  return exchange(std::vector<ConstBytes>(size_, slices[rank_]), slices);
}

int MpiExchange::broadcast(Bytes bytes, int root) const {
  const bool is_root = static_cast<int>(rank_) == root;
  std::vector<ConstBytes> out(size_);
  std::vector<Bytes> in(size_);
  if (is_root)
    out.assign(size_, bytes);
  else
    in[static_cast<size_t>(root)] = bytes;
  return exchange(out, in);
}

int MpiExchange::barrier() const {
  MPI_Request request = MPI_REQUEST_NULL;
  const int code = MPI_Ibarrier(MPI_COMM_WORLD, &request);
  return code == MPI_SUCCESS ? wait_for(request) : code;
}

float to_float(Bfloat16 value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value.bits) << 16);
}

Bfloat16 to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if (value != value) return {static_cast<uint16_t>((bits >> 16) | 0x40)};  // still a NaN after the cut
  return {static_cast<uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)};
}

}  // namespace rehearse
