// Includes the file REHEARSE_KERNEL, which is the includer itself, once for each processor generation: with
// REHEARSE_TARGET the name of its namespace and REHEARSE_VECTOR_BYTES the width of simd.h. All that the file needs from
// outside is included before. Vectors wider than a generation has fall apart into memory operands (3.5 times slower on
// AVX2).
#include "models/kernels/simd/target.h"

#ifdef REHEARSE_HAS_TARGETS
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4")
#define REHEARSE_TARGET v4
#define REHEARSE_VECTOR_BYTES 64
#include REHEARSE_KERNEL
#undef REHEARSE_TARGET
#undef REHEARSE_VECTOR_BYTES
#pragma GCC pop_options

#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#define REHEARSE_TARGET v3
#define REHEARSE_VECTOR_BYTES 32
#include REHEARSE_KERNEL
#undef REHEARSE_TARGET
#undef REHEARSE_VECTOR_BYTES
#pragma GCC pop_options
#endif

#define REHEARSE_TARGET base
#define REHEARSE_VECTOR_BYTES 32
#include REHEARSE_KERNEL
#undef REHEARSE_TARGET
#undef REHEARSE_VECTOR_BYTES
