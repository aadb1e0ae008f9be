#include "models/kernels/device_kernels.h"

namespace rehearse {
namespace {

const DeviceKernels* installed = nullptr;

}  // namespace

const DeviceKernels* installed_device_kernels() {
  return installed;
}

void install_device_kernels(const DeviceKernels* kernels) {
  installed = kernels;
}

}  // namespace rehearse
