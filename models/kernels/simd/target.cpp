#include "models/kernels/simd/target.h"

#include <cstdlib>
#include <string_view>

namespace rehearse {
namespace {

KernelTarget best_target() {
#ifdef REHEARSE_HAS_TARGETS
  if (__builtin_cpu_supports("x86-64-v4")) return KernelTarget::kV4;
  if (__builtin_cpu_supports("x86-64-v3")) return KernelTarget::kV3;
#endif
  return KernelTarget::kBase;
}

KernelTarget chosen_target() {
  const KernelTarget best = best_target();
  const char* asked = std::getenv("REHEARSE_KERNELS");
  if (!asked) return best;
  const std::string_view name(asked);
  const KernelTarget target = name == "base" ? KernelTarget::kBase
                              : name == "v3" ? KernelTarget::kV3
                                             : KernelTarget::kV4;
  return target < best ? target : best;
}

}  // namespace

KernelTarget kernel_target() {
  static const KernelTarget kTarget = chosen_target();
  return kTarget;
}

std::string name_of(KernelTarget target) {
  return target == KernelTarget::kV4 ? "v4" : target == KernelTarget::kV3 ? "v3" : "base";
}

}  // namespace rehearse
