#include "trainer/comm/mpi_communicator.h"

#include <mpi.h>

#include <chrono>
#include <limits>
#include <random>

#include "trainer/base/error.h"
#include "trainer/base/random.h"
#include "trainer/base/trace.h"
#include "trainer/comm/mpi_sums.h"

namespace rehearse {
namespace {

Watchdog::Options watchdog_options(int rank, int size, const CommOptions& options) {
  return {rank, size, options.timeout_s, options.term_grace_s, options.stop_requested, options.on_failure};
}

// The span is over before the future is ready: whoever waited for the future finds it in the lane.
template <class Result>
std::function<Result()> drawn(TraceLane& lane, const std::string& what, size_t bytes, std::function<Result()> work) {
  return [&lane, what, bytes, launched_s = monotonic_s(), work = std::move(work)] {
    TraceSpan span(&lane, what.substr(0, what.find(" (")));
    span.note("what", what);
    span.note("bytes", bytes);
    span.note("queued_s", monotonic_s() - launched_s);
    return work();
  };
}

std::vector<std::vector<std::byte>> gather_all(const std::vector<std::byte>& bytes, int size) {
  const int mine = static_cast<int>(bytes.size());
  std::vector<int> counts(static_cast<size_t>(size)), offsets(static_cast<size_t>(size));
  if (MPI_Allgather(&mine, 1, MPI_INT, counts.data(), 1, MPI_INT, MPI_COMM_WORLD) != MPI_SUCCESS)
    throw CommError("MPI_Allgather failed");
  int total = 0;
  for (int rank = 0; rank < size; ++rank) {
    offsets[static_cast<size_t>(rank)] = total;
    total += counts[static_cast<size_t>(rank)];
  }
  std::vector<std::byte> all(static_cast<size_t>(total));
  if (MPI_Allgatherv(bytes.data(), mine, MPI_BYTE, all.data(), counts.data(), offsets.data(), MPI_BYTE,
                     MPI_COMM_WORLD) != MPI_SUCCESS)
    throw CommError("MPI_Allgatherv failed");
  std::vector<std::vector<std::byte>> split;
  for (int rank = 0; rank < size; ++rank) {
    const auto begin = all.begin() + offsets[static_cast<size_t>(rank)];
    split.emplace_back(begin, begin + counts[static_cast<size_t>(rank)]);
  }
  return split;
}

}  // namespace

MpiCommunicator::MpiCommunicator(int rank, int size, bool is_one_host, const CommOptions& options)
    : rank_(rank),
      size_(size),
      is_fixed_order_(options.fixed_order),
      lane_(options.trace ? &options.trace->lane("communication") : nullptr),
      watchdog_(watchdog_options(rank, size, options), is_one_host) {
  // Before the communication thread exists, MPI calls come from here.
  const std::string address = watchdog_.address();
  const auto begin = reinterpret_cast<const std::byte*>(address.data());
  std::vector<std::string> addresses;
  for (const auto& bytes : gather_all({begin, begin + address.size()}, size))
    addresses.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::string joined;
  for (const std::string& one : addresses) joined += one + "\n";
  watchdog_.start(addresses, hash_text(joined));
  thread_ = std::jthread([this](std::stop_token stop) { work(stop); });
}

MpiCommunicator::~MpiCommunicator() = default;

template <class Result>
std::future<Result> MpiCommunicator::submit(const std::string& what, size_t bytes, std::function<Result()> work) {
  if (lane_) work = drawn(*lane_, what, bytes, std::move(work));
  auto task = std::make_shared<std::packaged_task<Result()>>(std::move(work));
  std::future<Result> future = task->get_future();
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({what, [task] { (*task)(); }});
  }
  arrived_.notify_one();
  return future;
}

void MpiCommunicator::work(std::stop_token stop) {
  while (true) {
    Operation operation;
    {
      std::unique_lock lock(mutex_);
      if (!arrived_.wait(lock, stop, [this] { return !queue_.empty(); })) return;
      operation = std::move(queue_.front());
      queue_.pop_front();
    }
    watchdog_.enter(operation.what);
    const auto start = std::chrono::steady_clock::now();
    operation.run();
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    busy_seconds_.store(busy_seconds_.load() + seconds);
    watchdog_.leave();
  }
}

void MpiCommunicator::check(int code, const std::string& what) const {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw CommError("rank ", rank_, " of ", size_, ": ", what, ": expected it to succeed; found ", text);
}

std::future<void> MpiCommunicator::enqueue(const std::string& what, size_t bytes, std::function<void()> work) {
  return submit<void>(what, bytes, std::move(work));
}

template <class T>
void MpiCommunicator::reduce_now(std::span<T> values, const std::string& what) const {
  check(is_fixed_order_ ? sum_in_rank_order(values, rank_, size_) : sum_in_any_order(values), what);
}
template void MpiCommunicator::reduce_now(std::span<float>, const std::string&) const;
template void MpiCommunicator::reduce_now(std::span<double>, const std::string&) const;
template void MpiCommunicator::reduce_now(std::span<Bfloat16>, const std::string&) const;

void MpiCommunicator::gather_now(std::span<float> values, const std::vector<size_t>& bounds,
                                 const std::string& what) const {
  std::vector<int> counts, offsets;
  for (size_t rank = 0; rank + 1 < bounds.size(); ++rank) {
    offsets.push_back(static_cast<int>(bounds[rank]));
    counts.push_back(static_cast<int>(bounds[rank + 1] - bounds[rank]));
  }
  check(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values.data(), counts.data(), offsets.data(), MPI_FLOAT,
                       MPI_COMM_WORLD),
        what);
}

template <class T>
std::future<void> MpiCommunicator::submit_sum(std::span<T> values, const std::string& what) {
  REHEARSE_CHECK(values.size() <= static_cast<size_t>(std::numeric_limits<int>::max()), "MPI counts are int");
  return submit<void>(what, values.size_bytes(), [=, this] { reduce_now(values, what); });
}

std::future<void> MpiCommunicator::all_reduce_sum(std::span<float> values, const std::string& what) {
  return submit_sum(values, what);
}

std::future<void> MpiCommunicator::all_reduce_sum(std::span<double> values, const std::string& what) {
  return submit_sum(values, what);
}

std::future<void> MpiCommunicator::all_reduce_sum(std::span<Bfloat16> values, const std::string& what) {
  return submit_sum(values, what);
}

std::future<void> MpiCommunicator::all_gather_slices(std::span<float> values, std::vector<size_t> bounds,
                                                     const std::string& what) {
  REHEARSE_CHECK(bounds.size() == static_cast<size_t>(size_) + 1 && bounds.back() <= values.size(),
                 "one slice a rank, inside the values");
  REHEARSE_CHECK(values.size() <= static_cast<size_t>(std::numeric_limits<int>::max()), "MPI counts are int");
  return submit<void>(what, values.size_bytes(), [=, this] { gather_now(values, bounds, what); });
}

std::future<std::vector<std::vector<std::byte>>> MpiCommunicator::all_gather(std::vector<std::byte> bytes,
                                                                             const std::string& what) {
  const size_t own = bytes.size();
  return submit<std::vector<std::vector<std::byte>>>(
      what, own, [bytes = std::move(bytes), size = size_] { return gather_all(bytes, size); });
}

void MpiCommunicator::broadcast(std::span<std::byte> bytes, int root, const std::string& what) {
  submit<void>(what, bytes.size(), [=, this] {
    check(MPI_Bcast(bytes.data(), static_cast<int>(bytes.size()), MPI_BYTE, root, MPI_COMM_WORLD), what);
  }).get();
}

void MpiCommunicator::barrier(const std::string& what) {
  submit<void>(what, 0, [=, this] { check(MPI_Barrier(MPI_COMM_WORLD), what); }).get();
}

void MpiCommunicator::finish() {
  barrier("the end of the run");
  watchdog_.finish();
}

}  // namespace rehearse
