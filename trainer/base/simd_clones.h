// A function compiled once per processor generation; the best one is picked when the program is loaded.
#pragma once

// Sanitizers instrument the selection itself, which runs before their own start-up.
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define REHEARSE_SIMD_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define REHEARSE_SIMD_CLONES
#endif
