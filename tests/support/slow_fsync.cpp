// Loaded before libc (LD_PRELOAD): a disk on which every fsync takes REHEARSE_TEST_FSYNC_MS longer.
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

extern "C" int fsync(int descriptor) {
  if (const char* more_ms = std::getenv("REHEARSE_TEST_FSYNC_MS"))
    std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(more_ms)));
  return static_cast<int>(syscall(SYS_fsync, descriptor));
}
