#include "trainer/engine/exchange/comm_bench_run.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iostream>
#include <optional>

#include "trainer/base/error.h"
#include "trainer/base/files.h"
#include "trainer/device/device.h"
#include "trainer/engine/exchange/tensor_collectives.h"
#include "trainer/engine/session.h"

namespace rehearse {
namespace {

// Memory as the gradients have it.
class TensorBuffer : public BenchBuffer {
 public:
  TensorBuffer(uint64_t bytes, at::Device device)
      : tensor_(at::zeros({static_cast<int64_t>(std::max<uint64_t>(1, bytes / sizeof(float)))},
                          at::TensorOptions().dtype(at::kFloat).device(device))) {}

  size_t size() const override { return static_cast<size_t>(tensor_.numel()); }
  void sum(Communicator& communicator, size_t count) override {
    all_reduce_sum(communicator, tensor_.narrow(0, 0, static_cast<int64_t>(count)), "all_reduce (bench)").get();
    wait_for_device();
  }
  void write(const std::vector<float>& values) override {
    REHEARSE_CHECK(values.size() == static_cast<size_t>(tensor_.numel()), "the whole buffer is written");
    tensor_.copy_(at::from_blob(const_cast<float*>(values.data()), {tensor_.numel()}, at::kFloat));
    wait_for_device();
  }
  std::vector<float> read(size_t count) override {
    const at::Tensor host = tensor_.narrow(0, 0, static_cast<int64_t>(count)).cpu();
    return {host.data_ptr<float>(), host.data_ptr<float>() + count};
  }
  std::string memory() const override { return tensor_.is_cpu() ? "host" : "cuda"; }

 private:
  // What is still under way there would be timed with the next call.
  void wait_for_device() const {
    if (!tensor_.is_cpu()) tensor_.narrow(0, 0, 1).cpu();
  }

  at::Tensor tensor_;
};

std::string transport(const World& world, const Device& device, const Communicator& communicator) {
  if (world.size() == 1) return "no transport: a world of one rank does nothing";
  const std::string on_device = communicator.description();
  return world.library_version() +
         (on_device.empty() ? "" : concat("; ", device.description(), "; device memory by ", on_device));
}

int bench_in(World& world, const Device& device, Communicator& communicator, const CommBenchRequest& request) {
  TensorBuffer buffer(request.options.max_bytes, device.torch());
  const auto results = bench_collectives(request.options, communicator, buffer);
  uint64_t wrong = 0;
  for (const CommBenchResult& one : results) wrong += one.wrong;
  std::vector<int> hosts;  // ranks of each
  for (const int ranks :
       gather_values(communicator, world.local_rank() == 0 ? world.local_size() : 0, "all_gather (hosts)"))
    if (ranks > 0) hosts.push_back(ranks);
  if (world.rank() == 0) {
    const std::string by = transport(world, device, communicator);
    std::cout << concat(world.size(), " rank(s), ", world.local_size(), " on this host; ", request.options.iterations,
                        " iterations; ", by, "\n")
              << comm_bench_text(results) << std::flush;
    FileLayer files;
    if (!request.json_path.empty())
      replace_text(files, request.json_path,
                   nlohmann::json{{"ranks", world.size()},
                                  {"ranks_on_this_host", world.local_size()},
                                  {"hosts", hosts},
                                  {"device", request.device},
                                  {"iterations", request.options.iterations},
                                  {"transport", by},
                                  {"results", comm_bench_json(results)}}
                           .dump(1) +
                       "\n");
  }
  if (wrong > 0)
    throw CommError("bench comm: expected every value as the ranks sent it; found ", wrong,
                    " wrong ones; see the table, and do not train over this network");
  return kExitOk;
}

}  // namespace

int bench_comm(const CommBenchRequest& request) {
  std::optional<Device> device;
  const auto prepare = [&](const World& world, CommOptions&) {
    if (world.rank() == 0) expect_writable("--json", request.json_path);
    device = Device::open(request.device, world, /*is_deterministic=*/false);
  };
  return run_in_world(
      {.body = [&](World& world,
                   Communicator& communicator) { return bench_in(world, *device, communicator, request); },
       .prepare = prepare,
       .connect = [&](const World& world, const CommOptions& comm) { return device->make_communicator(world, comm); }});
}

}  // namespace rehearse
