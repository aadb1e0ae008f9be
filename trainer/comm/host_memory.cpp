#include "trainer/comm/host_memory.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <random>

#include "trainer/base/error.h"

namespace rehearse {
namespace {

// A bucket of gradients fits a slot; with many ranks the whole stays bounded and buckets take several rounds.
constexpr size_t kLongestSlot = size_t{2} << 20, kAllBytes = size_t{64} << 20, kPage = 4096;
constexpr int kEagerPolls = 16;

size_t slot_bytes_for(size_t size) {
  return std::min(kLongestSlot, kAllBytes / (2 * (size + 1)) / kPage * kPage);
}

size_t bytes_for(size_t size) {
  return kPage + 2 * (size + 1) * slot_bytes_for(size);
}

// What the first rank tells the others.
struct Invitation {
  int64_t process = 0;
  int64_t descriptor = -1;
  uint64_t token = 0;
};

// Some systems refuse memory that could be executed, older ones do not know the word for it.
int make_memory() {
  constexpr unsigned kNotExecutable = 8;  // MFD_NOEXEC_SEAL
  const int descriptor = memfd_create("rehearse", MFD_CLOEXEC | kNotExecutable);
  return descriptor >= 0 || errno != EINVAL ? descriptor : memfd_create("rehearse", MFD_CLOEXEC);
}

// Maps, or returns nothing with errno set.
void* map(int descriptor, size_t bytes) {
  void* begin = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  return begin == MAP_FAILED ? nullptr : begin;
}

void wait_while(std::atomic<uint32_t>& word, uint32_t value) {
  const timespec limit{0, 100'000'000};  // a wake-up that was missed costs that much
  syscall(SYS_futex, &word, FUTEX_WAIT, value, &limit, nullptr, 0);
}

}  // namespace

struct HostMemory::Header {
  uint64_t token;
  alignas(64) std::atomic<uint32_t> num_arrived;
  alignas(64) std::atomic<uint32_t> generation;  // of meetings
  alignas(64) std::atomic<uint32_t> num_sleepers;
};

HostMemory::HostMemory(void* begin, size_t bytes, size_t size)
    : header_(static_cast<Header*>(begin)), bytes_(bytes), size_(size), slot_bytes_(slot_bytes_for(size)) {
  static_assert(sizeof(Header) <= kPage && std::atomic<uint32_t>::is_always_lock_free);
}

HostMemory::~HostMemory() {
  munmap(header_, bytes_);
}

// The first rank makes memory without a name; the others open it through that process's table of files.
std::unique_ptr<HostMemory> HostMemory::open(MPI_Comm host, std::string& reason) {
  int rank = 0, size = 1;
  MPI_Comm_rank(host, &rank);
  MPI_Comm_size(host, &size);
  const size_t bytes = bytes_for(static_cast<size_t>(size));
  Invitation invitation;
  void* begin = nullptr;
  int descriptor = -1, failed = 0;
  if (rank == 0) {
    descriptor = make_memory();
    failed = descriptor < 0 ? errno : posix_fallocate(descriptor, 0, static_cast<off_t>(bytes));
    if (failed == 0 && !(begin = map(descriptor, bytes))) failed = errno;
    invitation = {getpid(), failed == 0 ? descriptor : -1, (uint64_t{std::random_device{}()} << 32) | 1};
    if (begin) static_cast<Header*>(begin)->token = invitation.token;
  }
  MPI_Bcast(&invitation, sizeof invitation, MPI_BYTE, 0, host);
  if (rank > 0 && invitation.descriptor >= 0) {
    const std::string path = concat("/proc/", invitation.process, "/fd/", invitation.descriptor);
    descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
    struct stat facts = {};
    // A number of another PID namespace would lead to a stranger's file.
    const bool is_open = descriptor >= 0 && fstat(descriptor, &facts) == 0;
    const bool is_ours = is_open && facts.st_size == static_cast<off_t>(bytes);
    if (is_ours) begin = map(descriptor, bytes);
    if (!begin)
      failed = is_open && !is_ours ? ESTALE : errno;
    else if (static_cast<Header*>(begin)->token != invitation.token)
      failed = ESTALE;
  }
  int worst = 0;
  MPI_Allreduce(&failed, &worst, 1, MPI_INT, MPI_MAX, host);
  if (descriptor >= 0) close(descriptor);
  if (worst == 0) return std::unique_ptr<HostMemory>(new HostMemory(begin, bytes, static_cast<size_t>(size)));
  if (begin) munmap(begin, bytes);
  reason = std::strerror(worst);
  return nullptr;
}

std::byte* HostMemory::slot(size_t rank) const {
  return reinterpret_cast<std::byte*>(header_) + kPage + (half_ * (size_ + 1) + rank) * slot_bytes_;
}

void HostMemory::meet() {
  ++num_meetings_;
  std::atomic<uint32_t>& generation = header_->generation;
  const uint32_t before = generation.load();
  if (header_->num_arrived.fetch_add(1) + 1 == size_) {
    header_->num_arrived.store(0);
    generation.store(before + 1);
    if (header_->num_sleepers.load() > 0)
      syscall(SYS_futex, &generation, FUTEX_WAKE, static_cast<int>(size_), nullptr, nullptr, 0);
    return;
  }
  for (int polls = 0; polls < kEagerPolls; ++polls) {
    if (generation.load() != before) return;
    sched_yield();
  }
  header_->num_sleepers.fetch_add(1);
  while (generation.load() == before) wait_while(generation, before);
  header_->num_sleepers.fetch_sub(1);
}

}  // namespace rehearse
