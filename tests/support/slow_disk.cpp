// Loaded before libc (LD_PRELOAD): the disks of clusters. Every fsync takes REHEARSE_TEST_FSYNC_MS longer, every
// question for free space REHEARSE_TEST_SPACE_MS; with REHEARSE_TEST_FILE_SERVER folders cannot be removed at once, as
// when one of their files is open elsewhere (.nfs…), and there are no symbolic links.
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace {

void wait_as_asked(const char* name) {
  if (const char* more_ms = std::getenv(name))
    std::this_thread::sleep_for(std::chrono::milliseconds(std::atoi(more_ms)));
}

bool is_file_server() {
  return std::getenv("REHEARSE_TEST_FILE_SERVER") != nullptr;
}

int refuse(int error) {
  errno = error;
  return -1;
}

// By way of statfs, since the symbol itself is this one.
int space_of(const char* path, struct statvfs* space) {
  struct statfs {
    long type, block_size;
    unsigned long blocks, free, available, files, free_files;
    int id[2];
    long name_length, fragment_size, flags, spare[4];
  } found;
  wait_as_asked("REHEARSE_TEST_SPACE_MS");
  const long code = syscall(SYS_statfs, path, &found);
  if (code != 0) return static_cast<int>(code);
  *space = {};
  space->f_bsize = static_cast<unsigned long>(found.block_size);
  space->f_frsize = static_cast<unsigned long>(found.fragment_size);
  space->f_blocks = found.blocks;
  space->f_bfree = found.free;
  space->f_bavail = found.available;
  return 0;
}

}  // namespace

extern "C" int fsync(int descriptor) {
  wait_as_asked("REHEARSE_TEST_FSYNC_MS");
  return static_cast<int>(syscall(SYS_fsync, descriptor));
}

extern "C" int statvfs(const char* path, struct statvfs* space) {
  return space_of(path, space);
}

extern "C" int statvfs64(const char* path, struct statvfs64* space) {
  return space_of(path, reinterpret_cast<struct statvfs*>(space));
}

extern "C" int unlinkat(int folder, const char* name, int flags) {
  if (is_file_server() && (flags & AT_REMOVEDIR)) return refuse(ENOTEMPTY);
  return static_cast<int>(syscall(SYS_unlinkat, folder, name, flags));
}

extern "C" int rmdir(const char* name) {
  if (is_file_server()) return refuse(ENOTEMPTY);
  return static_cast<int>(syscall(SYS_unlinkat, AT_FDCWD, name, AT_REMOVEDIR));
}

// libc's own calls the system directly.
extern "C" int remove(const char* name) {
  if (syscall(SYS_unlinkat, AT_FDCWD, name, 0) == 0) return 0;
  return errno == EISDIR ? rmdir(name) : -1;
}

extern "C" int symlink(const char* target, const char* name) {
  if (is_file_server()) return refuse(EPERM);
  return static_cast<int>(syscall(SYS_symlinkat, target, AT_FDCWD, name));
}
