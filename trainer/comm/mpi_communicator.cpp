#include "trainer/comm/mpi_communicator.h"

#include <mpi.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "trainer/base/error.h"
#include "trainer/base/random.h"
#include "trainer/base/trace.h"

namespace rehearse {
namespace {

constexpr auto kBackgroundPause = std::chrono::microseconds(50);

Watchdog::Options watchdog_options(int rank, int size, const CommOptions& options) {
  return {rank, size, options.timeout_s, options.term_grace_s, options.stop_requested, options.on_failure};
}

// A thread that works in pieces of microseconds and sleeps in between. Linux lets a computing thread on the same core
// end its slice of some milliseconds before a woken one runs, unless that one's own slices are shorter (since 6.12;
// earlier kernels refuse or ignore this, and let what has slept go first).
// Whoever chose another policy (chrt) keeps it.
void wake_promptly() {
  constexpr unsigned long kTimerSlackNs = 1000;  // the default, 50 us, would double a wait of 25
  prctl(PR_SET_TIMERSLACK, kTimerSlackNs);
  struct {  // sched_attr of linux/sched/types.h, which glibc's sched.h does not tolerate
    uint32_t size = 0, policy = 0;
    uint64_t flags = 0;
    int32_t nice = 0;
    uint32_t priority = 0;
    uint64_t slice_ns = 0, deadline = 0, period = 0;
  } attributes;
  if (syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0U) != 0 || attributes.policy != SCHED_OTHER)
    return;
  attributes.size = sizeof attributes;
  attributes.slice_ns = 100'000;  // the shortest that is allowed
  syscall(SYS_sched_setattr, 0, &attributes, 0U);
}

struct AtTheEnd {
  explicit AtTheEnd(std::function<void()> call) : call_(std::move(call)) {}
  ~AtTheEnd() { call_(); }
  AtTheEnd(const AtTheEnd&) = delete;
  AtTheEnd& operator=(const AtTheEnd&) = delete;

 private:
  std::function<void()> call_;
};

// The span is over before the future is ready: whoever waited for the future finds it in the lane.
template <class Result>
std::function<Result()> drawn(TraceLane& lane, const MpiExchange& exchange, const std::string& what, size_t bytes,
                              std::function<Result()> work) {
  return [&lane, &exchange, what, bytes, launched_s = monotonic_s(), work = std::move(work)] {
    TraceSpan span(&lane, what.substr(0, what.find(" (")));
    span.note("what", what);
    span.note("bytes", bytes);
    span.note("queued_s", monotonic_s() - launched_s);
    const AtTheEnd noted([&, before = exchange.traffic()] {
      const Traffic now = exchange.traffic();
      span.note("messages", now.messages - before.messages);
      span.note("message_bytes", now.message_bytes - before.message_bytes);
      span.note("meetings", now.meetings - before.meetings);
      span.note("shared_bytes", now.shared_bytes - before.shared_bytes);
    });
    return work();
  };
}

}  // namespace

MpiCommunicator::MpiCommunicator(int rank, int size, bool is_one_host, const CommOptions& options)
    : rank_(rank),
      size_(size),
      lane_(options.trace ? &options.trace->lane("communication") : nullptr),
      exchange_(MpiExchange::own_host()),
      watchdog_(watchdog_options(rank, size, options), is_one_host && shares_network()) {
  if (!exchange_.refusal().empty())
    std::cerr << concat("warning: ranks of this host cannot share memory (", exchange_.refusal(),
                        "): they send each other messages, which is slower\n");
  // Before the communication thread exists, MPI calls come from here.
  const std::string address = watchdog_.address();
  const auto begin = reinterpret_cast<const std::byte*>(address.data());
  std::vector<std::string> addresses;
  for (const auto& bytes : gather_all({begin, begin + address.size()}))
    addresses.emplace_back(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  std::string joined;
  for (const std::string& one : addresses) joined += one + "\n";
  watchdog_.start(addresses, hash_text(joined));
  thread_ = std::jthread([this](std::stop_token stop) { work(stop); });
}

MpiCommunicator::~MpiCommunicator() = default;

// Whether loopback reaches every rank: containers of one host can have networks of their own.
bool MpiCommunicator::shares_network() {
  const std::string own = Watchdog::network();
  const auto begin = reinterpret_cast<const std::byte*>(own.data());
  const auto all = gather_all({begin, begin + own.size()});
  return !own.empty() && std::count(all.begin(), all.end(), all.front()) == size_;
}

template <class Result>
Result MpiCommunicator::run_unless_failed(const std::function<Result()>& work) {
  if (failure_) std::rethrow_exception(failure_);
  const AtTheEnd noted([this] { note_traffic(); });  // before the future is ready
  try {
    return work();
  } catch (...) {
    failure_ = std::current_exception();
    throw;
  }
}

template <class Result>
std::future<Result> MpiCommunicator::submit(const std::string& what, size_t bytes, std::function<Result()> work,
                                            std::function<bool()> is_done) {
  if (lane_) work = drawn(*lane_, exchange_, what, bytes, std::move(work));
  auto task = std::make_shared<std::packaged_task<Result()>>(
      [this, work = std::move(work)] { return run_unless_failed(work); });
  std::future<Result> future = task->get_future();
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back({what, [task] { (*task)(); }, std::move(is_done)});
  }
  arrived_.notify_one();
  return future;
}

// True when nothing goes on any more that an operation started. A failure of it is everybody's: later operations repeat
// it.
bool MpiCommunicator::is_background_done() {
  if (!is_background_done_) return true;
  try {
    if (!failure_ && !is_background_done_()) return false;
  } catch (...) {
    failure_ = std::current_exception();
  }
  is_background_done_ = nullptr;
  return true;
}

// The next one in the queue; while there is none, what goes on in the background is watched. Nothing: the end.
std::optional<MpiCommunicator::Operation> MpiCommunicator::next_operation(const std::stop_token& stop) {
  const auto has_one = [this] { return !queue_.empty(); };
  while (true) {
    const bool is_done = is_background_done();
    const auto start = std::chrono::steady_clock::now();
    std::unique_lock lock(mutex_);
    if (is_done && !has_one()) watchdog_.leave();
    if (is_done ? arrived_.wait(lock, stop, has_one) : arrived_.wait_for(lock, stop, kBackgroundPause, has_one)) {
      Operation operation = std::move(queue_.front());
      queue_.pop_front();
      return operation;
    }
    if (stop.stop_requested()) return {};
    add_busy_seconds(start);
  }
}

void MpiCommunicator::add_busy_seconds(std::chrono::steady_clock::time_point start) {
  const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
  busy_seconds_.store(busy_seconds_.load() + spent.count());
}

void MpiCommunicator::work(std::stop_token stop) {
  wake_promptly();
  while (std::optional<Operation> operation = next_operation(stop)) {
    if (failure_) {
      operation->run();  // it only says so: no beat may claim a collective that this rank never entered
      continue;
    }
    watchdog_.enter(operation->what);
    const auto start = std::chrono::steady_clock::now();
    operation->run();
    add_busy_seconds(start);
    if (operation->is_done) is_background_done_ = std::move(operation->is_done);
  }
}

void MpiCommunicator::check(int code, const std::string& what) const {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = {};
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw CommError("rank ", rank_, " of ", size_, ": ", what, ": expected it to succeed; found ", text);
}

std::future<void> MpiCommunicator::enqueue(const std::string& what, size_t bytes, std::function<void()> work,
                                           std::function<bool()> is_done) {
  return submit<void>(what, bytes, std::move(work), std::move(is_done));
}

template <class T>
void MpiCommunicator::reduce_now(std::span<T> values, const std::string& what) {
  check(exchange_.sum(values), what);
}
template void MpiCommunicator::reduce_now(std::span<float>, const std::string&);
template void MpiCommunicator::reduce_now(std::span<double>, const std::string&);
template void MpiCommunicator::reduce_now(std::span<Bfloat16>, const std::string&);

template <class T>
void MpiCommunicator::reduce_slices_now(std::span<T> values, const std::vector<size_t>& bounds,
                                        const std::string& what) {
  check(exchange_.sum_slices(values, bounds), what);
}
template void MpiCommunicator::reduce_slices_now(std::span<float>, const std::vector<size_t>&, const std::string&);
template void MpiCommunicator::reduce_slices_now(std::span<Bfloat16>, const std::vector<size_t>&, const std::string&);

void MpiCommunicator::gather_now(std::span<float> values, std::vector<size_t> bounds, const std::string& what) {
  for (size_t& bound : bounds) bound *= sizeof(float);
  check(exchange_.gather(std::as_writable_bytes(values), bounds), what);
}

std::vector<std::vector<std::byte>> MpiCommunicator::gather_all(const std::vector<std::byte>& bytes) {
  const auto own = static_cast<size_t>(rank_), size = static_cast<size_t>(size_);
  std::vector<uint64_t> sizes(size);
  std::vector<size_t> bounds;
  for (size_t rank = 0; rank <= size; ++rank) bounds.push_back(rank * sizeof(uint64_t));
  sizes[own] = bytes.size();
  check(exchange_.gather(std::as_writable_bytes(std::span(sizes)), bounds), "all_gather of sizes");
  for (size_t rank = 0; rank < size; ++rank) bounds[rank + 1] = bounds[rank] + sizes[rank];
  std::vector<std::byte> whole(bounds.back());
  std::copy(bytes.begin(), bytes.end(), whole.begin() + static_cast<std::ptrdiff_t>(bounds[own]));
  check(exchange_.gather(whole, bounds), "all_gather");
  std::vector<std::vector<std::byte>> all;
  for (size_t rank = 0; rank < size; ++rank)
    all.emplace_back(whole.begin() + static_cast<std::ptrdiff_t>(bounds[rank]),
                     whole.begin() + static_cast<std::ptrdiff_t>(bounds[rank + 1]));
  return all;
}

template <class T>
std::future<void> MpiCommunicator::submit_sum(std::span<T> values, const std::string& what) {
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

void MpiCommunicator::expect_slices(const std::vector<size_t>& bounds, size_t count) const {
  REHEARSE_CHECK(bounds.size() == static_cast<size_t>(size_) + 1 && bounds.back() <= count,
                 "one slice a rank, inside the values");
}

template <class T>
std::future<void> MpiCommunicator::submit_slices(std::span<T> values, const std::vector<size_t>& bounds,
                                                 const std::string& what) {
  expect_slices(bounds, values.size());
  return submit<void>(what, values.size_bytes(), [=, this] { reduce_slices_now(values, bounds, what); });
}

std::future<void> MpiCommunicator::reduce_slices(std::span<float> values, std::vector<size_t> bounds,
                                                 const std::string& what) {
  return submit_slices(values, bounds, what);
}

std::future<void> MpiCommunicator::reduce_slices(std::span<Bfloat16> values, std::vector<size_t> bounds,
                                                 const std::string& what) {
  return submit_slices(values, bounds, what);
}

std::future<void> MpiCommunicator::all_gather_slices(std::span<float> values, std::vector<size_t> bounds,
                                                     const std::string& what) {
  expect_slices(bounds, values.size());
  return submit<void>(what, values.size_bytes(), [=, this] { gather_now(values, bounds, what); });
}

std::future<std::vector<std::vector<std::byte>>> MpiCommunicator::all_gather(std::vector<std::byte> bytes,
                                                                             const std::string& what) {
  const size_t own = bytes.size();
  return submit<std::vector<std::vector<std::byte>>>(what, own,
                                                     [this, bytes = std::move(bytes)] { return gather_all(bytes); });
}

void MpiCommunicator::broadcast(std::span<std::byte> bytes, int root, const std::string& what) {
  submit<void>(what, bytes.size(), [=, this] { check(exchange_.broadcast(bytes, root), what); }).get();
}

void MpiCommunicator::barrier(const std::string& what) {
  submit<void>(what, 0, [=, this] { check(exchange_.barrier(), what); }).get();
}

Traffic MpiCommunicator::traffic() const {
  const std::lock_guard lock(mutex_);
  return traffic_;
}

void MpiCommunicator::note_traffic() {
  const std::lock_guard lock(mutex_);
  traffic_ = exchange_.traffic();
}

void MpiCommunicator::finish() {
  barrier("the end of the run");
  watchdog_.finish();
}

}  // namespace rehearse
