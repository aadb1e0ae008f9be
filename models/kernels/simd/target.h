// The processor generation that kernels are compiled for, chosen once a process. Sums over lanes are made in an order
// that depends on their number, so two generations differ in the last bits.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>

namespace rehearse {

enum class KernelTarget {
  kBase,  // any processor, 32-byte vectors as far as it has them
  kV3,    // x86-64-v3: AVX2
  kV4,    // x86-64-v4: AVX-512, 64-byte vectors
};

// The best one for this processor; REHEARSE_KERNELS=base, v3 or v4 in the environment takes a lower one.
KernelTarget kernel_target();
std::string name_of(KernelTarget target);

}  // namespace rehearse

// Calls the function of this name that was compiled for the processor (for_each_target.h).
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__)
#define REHEARSE_HAS_TARGETS 1
#define REHEARSE_DISPATCH(...)  \
  switch (kernel_target()) {    \
    case KernelTarget::kV4:     \
      return v4::__VA_ARGS__;   \
    case KernelTarget::kV3:     \
      return v3::__VA_ARGS__;   \
    default:                    \
      return base::__VA_ARGS__; \
  }
#else
#define REHEARSE_DISPATCH(...) return base::__VA_ARGS__
#endif
