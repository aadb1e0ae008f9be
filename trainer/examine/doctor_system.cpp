#include "trainer/examine/doctor_system.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "trainer/base/error.h"

namespace rehearse {

SystemFacts system_facts(const fs::path& run_folder) {
  SystemFacts facts;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  facts.cores = sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : 1;
  facts.machine_cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  facts.memory_bytes = static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGE_SIZE));
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator("/proc/driver/nvidia/gpus", absent))
    facts.num_gpus += entry.path().empty() ? 0 : 1;
  facts.disk = fs::absolute(run_folder);
  while (!fs::exists(facts.disk) && facts.disk.has_parent_path() && facts.disk != facts.disk.root_path())
    facts.disk = facts.disk.parent_path();
  facts.free_disk_bytes = free_bytes_at(facts.disk);
  return facts;
}

uint64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

std::string bytes_text(uint64_t bytes) {
  static const char* kUnits[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  char text[48];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

std::string system_text(const SystemFacts& facts, const World& world, int threads,
                        const std::map<std::string, std::string>& versions) {
  std::string text = concat("MPI        ", world.library_version(), "; ", world.size(), " rank(s), ",
                            world.local_size(), " on this machine\n");
  text += concat("cores      ", facts.cores, " of ", facts.machine_cores, " that this rank may use; ", threads,
                 " thread(s) per rank\n");
  text += concat("GPUs       ", facts.num_gpus, facts.num_gpus == 0 ? " (no NVIDIA driver shows any)" : "", "\n");
  text += concat("memory     ", bytes_text(facts.memory_bytes), "\n");
  text += concat("disk       ", bytes_text(facts.free_disk_bytes), " free at ", facts.disk.string(), "\n");
  std::string libraries;
  for (const auto& [name, version] : versions) libraries += (libraries.empty() ? "" : ", ") + name + " " + version;
  return text + "libraries  " + libraries + "\n";
}

}  // namespace rehearse
