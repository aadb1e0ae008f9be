#include "trainer/device/device.h"

#include <ATen/Context.h>
#include <c10/util/Exception.h>
#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <set>
#include <sstream>

#include "trainer/base/error.h"
#include "trainer/device/host_memory.h"

namespace rehearse {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPlugin = "librehearse_cuda.so";

// Beside the binary, in ../lib.
const DevicePlugin& load_plugin() {
  const fs::path path = fs::read_symlink("/proc/self/exe").parent_path().parent_path() / "lib" / kPlugin;
  if (!fs::exists(path))
    throw ConfigError("device: expected cpu; found cuda, and this build has no CUDA plug-in (", path.string(),
                      "); run launch/setup.sh on a machine with nvcc 13");
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (!library) throw ConfigError(path.string(), ": expected to load it for device: cuda; found ", dlerror());
  const auto entry = reinterpret_cast<DevicePluginEntry>(dlsym(library, kDevicePluginEntry));
  const DevicePlugin* plugin = entry ? entry() : nullptr;
  if (!plugin || plugin->abi != kDeviceAbi)
    throw ConfigError(path.string(), ": expected the plug-in of this build; found another; run launch/setup.sh");
  return *plugin;
}

// What libtorch may choose on a device. Deterministic: equal inputs give equal bits, float32 is float32, and an
// operator that cannot promise it is refused. Else the fastest ways there are.
void choose_algorithms(bool is_deterministic) {
  at::Context& context = at::globalContext();
  context.setDeterministicCuDNN(is_deterministic);
  context.setBenchmarkCuDNN(false);  // it would try all ways anew for every length
  context.setDeterministicAlgorithms(is_deterministic, /*warn_only=*/false);
  context.setDeterministicFillUninitializedMemory(false);
  context.setAllowTF32CuDNN(!is_deterministic);
  context.setAllowTF32CuBLAS(!is_deterministic);
  // The fused attentions split long sequences among blocks that add with atomics: beyond about 128 frames the backward
  // pass of the memory-efficient one differs from call to call. Products and softmax do not.
  context.setSDPUseMath(true);
  context.setSDPUseFlash(!is_deterministic);
  context.setSDPUseMemEfficient(!is_deterministic);
  context.setSDPUseCuDNN(!is_deterministic);
}

// What libtorch says of an operator that deterministic algorithms do not allow.
bool is_about_determinism(const std::string& reason) {
  return reason.find("deterministic implementation") != std::string::npos ||
         reason.find("Deterministic behavior was enabled") != std::string::npos;
}

// Otherwise NCCL chooses by message size, topology and version.
void pin_nccl() {
  setenv("NCCL_ALGO", "Ring", 0);
  setenv("NCCL_PROTO", "Simple", 0);
  setenv("NCCL_NVLS_ENABLE", "0", 0);
}

}  // namespace

Device Device::open(const std::string& name, const World& world, bool is_deterministic) {
  keep_host_memory();
  Device device;
  if (name == "cpu") return device;
  if (is_deterministic) {
    pin_nccl();
    setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);  // with any other size cuBLAS is not deterministic
  }
  device.plugin_ = &load_plugin();
  device.facts_ = device.plugin_->open(world.local_rank());
  device.torch_ = at::Device(at::kCUDA, static_cast<at::DeviceIndex>(device.facts_.index));
  install_device_table(device.plugin_->functions);
  choose_algorithms(is_deterministic);
  return device;
}

std::string Device::description() const {
  if (is_cpu()) return "";
  return concat(facts_.name, ", compute capability ", facts_.capability, ", ", facts_.memory_bytes >> 30, " GiB; ",
                facts_.libraries);
}

std::unique_ptr<Communicator> Device::make_communicator(const World& world, const CommOptions& options) const {
  if (is_cpu() || world.size() == 1) return rehearse::make_communicator(world, options);
  return connect_devices(world, options, plugin_->collectives(facts_.index));
}

bool has_instructions_for(Precision precision, const std::string& cpu_facts) {
  if (precision == Precision::kFull || cpu_facts.empty()) return true;
  // As Linux names them: x86-64's vectors and tiles, then ARM's.
  static const std::set<std::string> kBfloat16 = {"avx512_bf16", "amx_bf16", "bf16"};
  static const std::set<std::string> kFloat16 = {"avx512_fp16", "amx_fp16", "asimdhp"};
  const std::set<std::string>& names = precision == Precision::kBfloat16 ? kBfloat16 : kFloat16;
  std::istringstream words(cpu_facts);
  return std::any_of(std::istream_iterator<std::string>(words), {},
                     [&](const std::string& word) { return names.contains(word); });
}

std::string precision_warning(Precision precision, at::Device device, bool has_instructions) {
  if (!device.is_cpu() || precision == Precision::kFull || has_instructions) return "";
  return concat("precision: ", precision == Precision::kBfloat16 ? "bfloat16" : "float16",
                " is slower than float32 here, since this CPU has no instructions for it");
}

void on_device(const Batch& batch, const char* key, const std::function<void()>& work) {
  try {
    work();
  } catch (const c10::OutOfMemoryError&) {
    throw CommError("device: expected memory for a micro-batch of ", batch.size_text(), "; found too little; lower ",
                    key);
  } catch (const c10::Error& failure) {
    if (!is_about_determinism(failure.what_without_backtrace())) throw;
    const std::string reason = failure.what_without_backtrace();
    throw ConfigError("deterministic: expected operators that give equal bits on this device; found one without: ",
                      reason.substr(0, reason.find(" You can ")), "; set deterministic: false, or change the block");
  }
}

}  // namespace rehearse
