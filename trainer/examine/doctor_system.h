// Facts about the machine that decide whether a run can work there.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "trainer/base/files.h"
#include "trainer/comm/world.h"

namespace rehearse {

struct SystemFacts {
  int cores = 0;          // that this process may use
  int machine_cores = 0;  // that are there
  uint64_t memory_bytes = 0;
  int num_gpus = 0;              // that the driver shows
  uint64_t free_disk_bytes = 0;  // where checkpoints go
  fs::path disk;                 // the folder that was asked, the nearest that exists
};

// run_folder need not exist yet.
SystemFacts system_facts(const fs::path& run_folder);
uint64_t peak_memory_bytes();  // of this process so far

// MPI, ranks, threads, GPUs, memory, disk and libraries, a line each.
std::string system_text(const SystemFacts& facts, const World& world, int threads,
                        const std::map<std::string, std::string>& versions);

std::string bytes_text(uint64_t bytes);  // "12.5 MiB"

}  // namespace rehearse
