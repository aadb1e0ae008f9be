#include "trainer/comm/cuda/nccl_collectives.h"

#include <cuda_runtime.h>
#include <nccl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "trainer/base/error.h"

namespace rehearse::cuda {
namespace {

constexpr int kFirstThatShares = NCCL_VERSION(2, 30, 3);

void expect(cudaError_t code, const char* what) {
  if (code != cudaSuccess)
    throw CommError("cuda: ", what, ": expected it to succeed; found ", cudaGetErrorName(code), " (",
                    cudaGetErrorString(code), ")");
}

struct Event {
  cudaEvent_t handle = nullptr;
  Event() { expect(cudaEventCreateWithFlags(&handle, cudaEventDisableTiming), "creating an event"); }
  ~Event() { cudaEventDestroy(handle); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
};

int version_code() {
  int code = 0;
  return ncclGetVersion(&code) == ncclSuccess ? code : 0;
}

class NcclCollectives : public DeviceCollectives {
 public:
  NcclCollectives(int device, void* (*current_stream)()) : device_(device), current_stream_(current_stream) {
    expect(cudaSetDevice(device_), "choosing the device");
    int lowest = 0, highest = 0;
    expect(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "asking for stream priorities");
    expect(cudaStreamCreateWithPriority(&stream_, cudaStreamNonBlocking, highest), "creating the side stream");
  }
  // The process ends, or close() came before; a destructor must not wait for peers.
  ~NcclCollectives() override {
    if (staging_) cudaFreeHost(staging_);
    if (!comm_) cudaStreamDestroy(stream_);
  }

  std::string library() const override { return "NCCL " + nccl_version(); }
  bool can_share_device() const override { return version_code() >= kFirstThatShares; }

  std::string device_id() const override {
    cudaDeviceProp properties;
    expect(cudaGetDeviceProperties(&properties, device_), "asking for device properties");
    char host[256] = {};
    gethostname(host, sizeof host - 1);
    return std::string(host) + " " + std::string(properties.uuid.bytes, sizeof properties.uuid.bytes);
  }

  Mark mark() override {
    auto event = std::make_shared<Event>();
    expect(cudaEventRecord(event->handle, static_cast<cudaStream_t>(current_stream_())), "recording an event");
    return event;
  }

  void wait(const Mark& mark) override {
    expect(
        cudaStreamWaitEvent(static_cast<cudaStream_t>(current_stream_()), static_cast<Event*>(mark.get())->handle, 0),
        "waiting for a collective");
  }

  Mark last() override {
    auto event = std::make_shared<Event>();
    expect(cudaEventRecord(event->handle, stream_), "recording an event");
    return event;
  }

  bool is_reached(const Mark& mark) override {
    expect_healthy();
    const cudaError_t code = cudaEventQuery(static_cast<Event*>(mark.get())->handle);
    if (code == cudaErrorNotReady) return false;
    expect(code, "an NCCL collective");
    return true;
  }

  size_t id_bytes() const override { return sizeof(ncclUniqueId); }
  std::vector<std::byte> new_id() override {
    ncclUniqueId id;
    expect(ncclGetUniqueId(&id), "ncclGetUniqueId");
    const auto view = std::as_bytes(std::span(&id, 1));
    return {view.begin(), view.end()};
  }

  void prepare(bool is_shared) override {
    // Ranks of one device take turns, and a waiting kernel spins: it should hold few multiprocessors.
    if (is_shared) {
      setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1", 0);
      setenv("NCCL_MAX_CTAS", "4", 0);
    }
  }

  void connect(int rank, int size, std::span<const std::byte> id) override {
    expect(cudaSetDevice(device_), "choosing the device");
    ncclUniqueId unique;
    REHEARSE_CHECK(id.size() == sizeof unique, "rank 0 made the id with new_id()");
    std::memcpy(&unique, id.data(), sizeof unique);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    expect(ncclCommInitRankConfig(&comm_, size, unique, rank, &config), "ncclCommInitRankConfig");
  }

  void all_reduce_sum(DeviceSpan span, const Mark& after) override {
    expect(cudaSetDevice(device_), "choosing the device");
    expect(cudaStreamWaitEvent(stream_, static_cast<Event*>(after.get())->handle, 0), "waiting for the gradient");
    expect(ncclAllReduce(span.values, span.values, span.count, type_of(span), ncclSum, comm_, stream_),
           "ncclAllReduce");
  }

  // Slices differ in length: one reduction to its rank each, together.
  void reduce_slices(DeviceSpan span, const std::vector<size_t>& bounds, const Mark& after) override {
    auto* values = static_cast<std::byte*>(span.values);
    const size_t element = span.count == 0 ? 0 : span.size_bytes() / span.count;
    expect(cudaSetDevice(device_), "choosing the device");
    expect(cudaStreamWaitEvent(stream_, static_cast<Event*>(after.get())->handle, 0), "waiting for the gradient");
    expect(ncclGroupStart(), "ncclGroupStart");
    for (size_t rank = 0; rank + 1 < bounds.size(); ++rank) {
      std::byte* slice = values + bounds[rank] * element;
      const size_t count = bounds[rank + 1] - bounds[rank];
      if (count > 0)
        expect(ncclReduce(slice, slice, count, type_of(span), ncclSum, static_cast<int>(rank), comm_, stream_),
               "ncclReduce");
    }
    expect(ncclGroupEnd(), "ncclGroupEnd");
  }

  // Slices differ in length: one broadcast each, together.
  void all_gather_slices(DeviceSpan span, const std::vector<size_t>& bounds, const Mark& after) override {
    auto* values = static_cast<float*>(span.values);
    expect(cudaSetDevice(device_), "choosing the device");
    expect(cudaStreamWaitEvent(stream_, static_cast<Event*>(after.get())->handle, 0), "waiting for the update");
    expect(ncclGroupStart(), "ncclGroupStart");
    for (size_t rank = 0; rank + 1 < bounds.size(); ++rank) {
      float* slice = values + bounds[rank];
      const size_t count = bounds[rank + 1] - bounds[rank];
      if (count > 0)
        expect(ncclBroadcast(slice, slice, count, ncclFloat32, static_cast<int>(rank), comm_, stream_),
               "ncclBroadcast");
    }
    expect(ncclGroupEnd(), "ncclGroupEnd");
  }

  // A non-blocking communicator may still be enqueuing when its call returns.
  bool poll() override { return !comm_ || expect_healthy() != ncclInProgress; }

  void abort() override {
    if (comm_) ncclCommAbort(comm_);
    comm_ = nullptr;
  }

  void close() override {
    if (!comm_) return;
    expect(ncclCommFinalize(comm_), "ncclCommFinalize");
    ncclResult_t state = ncclInProgress;
    while (state == ncclInProgress) expect(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
    expect(state, "ncclCommFinalize");
    expect(ncclCommDestroy(comm_), "ncclCommDestroy");
    comm_ = nullptr;
  }

  std::span<std::byte> copy_out(const void* values, size_t bytes, const Mark& after) override {
    expect(cudaSetDevice(device_), "choosing the device");
    if (bytes > staging_bytes_) {
      if (staging_) expect(cudaFreeHost(staging_), "freeing page-locked memory");
      staging_ = nullptr;
      expect(cudaMallocHost(&staging_, bytes), "page-locked memory");
      staging_bytes_ = bytes;
    }
    expect(cudaStreamWaitEvent(stream_, static_cast<Event*>(after.get())->handle, 0), "waiting for the gradient");
    expect(cudaMemcpyAsync(staging_, values, bytes, cudaMemcpyDeviceToHost, stream_), "copying to the host");
    expect(cudaStreamSynchronize(stream_), "copying to the host");
    return {static_cast<std::byte*>(staging_), bytes};
  }

  void copy_in(void* values, std::span<const std::byte> bytes) override {
    expect(cudaMemcpyAsync(values, bytes.data(), bytes.size(), cudaMemcpyHostToDevice, stream_), "copying back");
    expect(cudaStreamSynchronize(stream_), "copying back");
  }

 private:
  static ncclDataType_t type_of(const DeviceSpan& span) {
    using Element = DeviceSpan::Element;
    if (span.element == Element::kFloat) return ncclFloat32;
    return span.element == Element::kDouble ? ncclFloat64 : ncclBfloat16;
  }
  static void expect(cudaError_t code, const char* what) { cuda::expect(code, what); }
  void expect(ncclResult_t code, const char* what) const {
    if (code == ncclSuccess || code == ncclInProgress) return;
    throw CommError(what, ": expected it to succeed; found ", ncclGetErrorString(code), " (", ncclGetLastError(comm_),
                    "); NCCL_DEBUG=INFO says more");
  }

  ncclResult_t expect_healthy() const {
    ncclResult_t state = ncclSuccess;
    expect(ncclCommGetAsyncError(comm_, &state), "ncclCommGetAsyncError");
    expect(state, "an NCCL collective");
    return state;
  }

  int device_;
  void* (*current_stream_)();
  cudaStream_t stream_ = nullptr;
  ncclComm_t comm_ = nullptr;
  void* staging_ = nullptr;
  size_t staging_bytes_ = 0;
};

}  // namespace

std::unique_ptr<DeviceCollectives> make_nccl_collectives(int device, void* (*current_stream)()) {
  return std::make_unique<NcclCollectives>(device, current_stream);
}

std::string nccl_version() {
  const int code = version_code();
  return concat(code / 10000, ".", code / 100 % 100, ".", code % 100);
}

}  // namespace rehearse::cuda
