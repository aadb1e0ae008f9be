#include "trainer/comm/messages.h"

#include <mpi.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <thread>

namespace rehearse {
namespace {

// A wait polls at once, then after pauses that grow: what other ranks do in microseconds is found in microseconds, and
// what a wire does in milliseconds takes little of the core. A gigabit a second fills 31 KB of a socket's buffer a
// pause.
constexpr int kEagerPolls = 16;
constexpr auto kPause = std::chrono::microseconds(25), kLongestPause = std::chrono::microseconds(250);

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

}  // namespace

int Messages::exchange(const std::vector<Outgoing>& out, const std::vector<Incoming>& in) {
  std::vector<MPI_Request> requests;
  const auto post = [&](auto bytes, auto&& call) {
    for (size_t at = 0; at < bytes.size(); at += longest_) {
      const auto count = static_cast<int>(std::min(longest_, bytes.size() - at));
      const int code = call(bytes.data() + at, count, &requests.emplace_back(MPI_REQUEST_NULL));
      if (code != MPI_SUCCESS) return code;
    }
    return MPI_SUCCESS;
  };
  for (const Incoming& one : in) {
    const int code = post(one.bytes, [&](std::byte* data, int count, MPI_Request* request) {
      return MPI_Irecv(data, count, MPI_BYTE, one.from, 0, MPI_COMM_WORLD, request);
    });
    if (code != MPI_SUCCESS) return code;
  }
  for (const Outgoing& one : out) {
    const int code = post(one.bytes, [&](const std::byte* data, int count, MPI_Request* request) {
      ++num_sent_;
      bytes_sent_ += static_cast<uint64_t>(count);
      return MPI_Isend(data, count, MPI_BYTE, one.to, 0, MPI_COMM_WORLD, request);
    });
    if (code != MPI_SUCCESS) return code;
  }
  return wait_for(requests);
}

}  // namespace rehearse
