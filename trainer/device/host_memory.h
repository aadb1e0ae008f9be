// Memory of tensors on the CPU that is kept when they end: every micro-batch asks for the same sizes again.
#pragma once

#include <cstddef>
#include <cstdint>

namespace rehearse {

struct HostMemoryCount {
  uint64_t from_system = 0;  // blocks ever asked of the system: stands still once a run has warmed up
  uint64_t reused = 0;
  size_t held_bytes = 0;  // by tensors and in wait for them
};

// Tensors made after this call take their memory from lists by size, half a power of two apart, so at most a third
// is unused; it goes back there from any thread, and all that waits goes to the system when it is more than
// tensors ever needed at one time. Any number of calls; libtorch's tools see each block.
void keep_host_memory();
HostMemoryCount host_memory_count();

}  // namespace rehearse
