// Loaded before libc (LD_PRELOAD): a disk that takes REHEARSE_TEST_DISK_WRITES changes below REHEARSE_TEST_DISK_FOLDER.
// At the next one the process is killed (REHEARSE_TEST_DISK_END=kill), or the disk is full from then on.
#include <signal.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace {

bool is_below(const char* path) {
  const char* folder = std::getenv("REHEARSE_TEST_DISK_FOLDER");
  return folder != nullptr && std::strncmp(path, folder, std::strlen(folder)) == 0;
}

// True when this change must not happen.
bool is_refused(const char* path) {
  static std::atomic<int> changes = 0;
  if (!is_below(path) || changes++ < std::atoi(std::getenv("REHEARSE_TEST_DISK_WRITES"))) return false;
  if (std::strcmp(std::getenv("REHEARSE_TEST_DISK_END"), "kill") == 0) raise(SIGKILL);
  errno = ENOSPC;
  return true;
}

bool is_refused(int descriptor) {
  char link[64], path[4096];
  std::strcpy(link, "/proc/self/fd/");
  char digits[16];
  int count = 0;
  for (int rest = descriptor; rest > 0 || count == 0; rest /= 10) digits[count++] = static_cast<char>('0' + rest % 10);
  char* end = link + std::strlen(link);
  while (count > 0) *end++ = digits[--count];
  *end = '\0';
  const int saved = errno;
  const ssize_t size = readlink(link, path, sizeof path - 1);
  errno = saved;
  if (size < 0) return false;
  path[size] = '\0';
  return is_refused(path);
}

}  // namespace

extern "C" {

ssize_t write(int descriptor, const void* bytes, size_t size) {
  return is_refused(descriptor) ? -1 : syscall(SYS_write, descriptor, bytes, size);
}
ssize_t writev(int descriptor, const iovec* parts, int count) {
  return is_refused(descriptor) ? -1 : syscall(SYS_writev, descriptor, parts, count);
}
ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t at) {
  return is_refused(descriptor) ? -1 : syscall(SYS_pwrite64, descriptor, bytes, size, at);
}
ssize_t pwrite64(int descriptor, const void* bytes, size_t size, off64_t at) {
  return is_refused(descriptor) ? -1 : syscall(SYS_pwrite64, descriptor, bytes, size, at);
}
int ftruncate(int descriptor, off_t size) {
  return is_refused(descriptor) ? -1 : static_cast<int>(syscall(SYS_ftruncate, descriptor, size));
}
int ftruncate64(int descriptor, off64_t size) {
  return is_refused(descriptor) ? -1 : static_cast<int>(syscall(SYS_ftruncate, descriptor, size));
}
int fsync(int descriptor) {
  return is_refused(descriptor) ? -1 : static_cast<int>(syscall(SYS_fsync, descriptor));
}
int rename(const char* from, const char* to) {
  return is_refused(to) ? -1 : static_cast<int>(syscall(SYS_rename, from, to));
}

}  // extern "C"
