// Memory that the ranks of one host share, and their meetings in it.
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace rehearse {

// Two halves that take turns: what a round leaves may still be read while the next one writes. A half holds a slot for
// each rank and one for results. The memory has no name anywhere and goes with the last process that has it, however
// that ends. For the communication thread only; all ranks of the host make the same calls.
class HostMemory {
 public:
  // Collective over `host`. Nothing, on every rank, and the reason when one of them cannot have it.
  static std::unique_ptr<HostMemory> open(MPI_Comm host, std::string& reason);
  ~HostMemory();
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  size_t slot_bytes() const { return slot_bytes_; }
  void begin_round() { half_ = 1 - half_; }  // at least one meeting follows before the next
  std::byte* slot(size_t rank) const;        // of this round
  std::byte* result() const { return slot(size_); }
  // Every rank has come, and what it wrote before is seen by all. A rank that waits looks a few times, then sleeps
  // until the last one wakes it; when that one never comes, the watchdog ends the process.
  void meet();
  uint64_t num_meetings() const { return num_meetings_; }

 private:
  struct Header;
  HostMemory(void* begin, size_t bytes, size_t size);

  Header* header_;
  size_t bytes_, size_, slot_bytes_;
  size_t half_ = 0;
  uint64_t num_meetings_ = 0;
};

}  // namespace rehearse
