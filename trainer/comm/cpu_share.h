// How many threads a rank may compute with, whatever confines it: binding, cpusets, quotas, neighbours.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace rehearse {

// What the system lets one process use of its host. Plain bytes: ranks send it to each other.
struct CpuFacts {
  static constexpr size_t kMaxProcessors = 4096;
  // A control group of the process and the processors' worth of time that all in it share.
  struct Quota {
    uint64_t group = 0;
    double processors = 0;  // 0: no quota
  };
  std::array<uint64_t, kMaxProcessors / 64> mask = {};  // bit p: processor p
  std::array<Quota, 8> quotas = {};

  void allow(size_t processor) { mask[processor / 64] |= uint64_t{1} << processor % 64; }
};

// Of this process; the quotas of the control groups (versions 1 and 2) are read below `root`.
CpuFacts own_cpu_facts(const std::filesystem::path& root = "/");

// For rank `own` of a host's ranks: a processor that several may use, and a quota that several are under, counts for
// each by equal shares. At least 1.
int fair_threads(std::span<const CpuFacts> ranks, size_t own);

}  // namespace rehearse
