// NCCL behind the interface of DeviceCollectives: one communicator, non-blocking, on a stream of its own.
#pragma once

#include <memory>

#include "trainer/comm/device_collectives.h"

namespace rehearse::cuda {

// Sets what NCCL must find in the environment where the user has not. `current_stream` names the stream on which the
// calling thread enqueues its work.
std::unique_ptr<DeviceCollectives> make_nccl_collectives(int device, void* (*current_stream)());

// "2.28.9"
std::string nccl_version();

}  // namespace rehearse::cuda
