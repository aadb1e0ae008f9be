#include "trainer/comm/cpu_share.h"

#include <sched.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

namespace rehearse {
namespace {

namespace fs = std::filesystem;

// Where a hierarchy of control groups is seen.
struct Mount {
  std::string root, point;
  bool is_version_2 = false;
};

bool has_word(const std::string& list, const std::string& word) {
  return ("," + list + ",").find("," + word + ",") != std::string::npos;
}

// "36 35 98:0 /root /point rw,noatime master:1 - type source options"
std::optional<Mount> parse_mount(const std::string& line) {
  const size_t dash = line.find(" - ");
  if (dash == std::string::npos) return std::nullopt;
  std::istringstream front(line.substr(0, dash)), back(line.substr(dash + 3));
  std::string skipped, type, source, options;
  Mount mount;
  front >> skipped >> skipped >> skipped >> mount.root >> mount.point;
  back >> type >> source >> options;
  mount.is_version_2 = type == "cgroup2";
  if (!mount.is_version_2 && !(type == "cgroup" && has_word(options, "cpu"))) return std::nullopt;
  return mount;
}

// This process's group in the hierarchy of version 2, or in that of `cpu`: "0::/group", "4:cpu,cpuacct:/group".
std::optional<std::string> own_group(const fs::path& root, bool is_version_2) {
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (is_version_2 ? controllers.empty() : has_word(controllers, "cpu")) return line.substr(second + 1);
  }
  return std::nullopt;
}

// Processors' worth of time, or 0.
double quota_of(const fs::path& folder, bool is_version_2) {
  double quota = 0, period = 0;
  if (is_version_2) {
    std::ifstream(folder / "cpu.max") >> quota >> period;  // "max 100000" leaves 0
  } else {
    std::ifstream(folder / "cpu.cfs_quota_us") >> quota;  // -1: none
    std::ifstream(folder / "cpu.cfs_period_us") >> period;
  }
  return quota > 0 && period > 0 ? quota / period : 0;
}

uint64_t identity_of(const fs::path& folder) {
  struct stat facts = {};
  if (::stat(folder.c_str(), &facts) != 0) return 0;
  return static_cast<uint64_t>(facts.st_dev) * 1000003 + facts.st_ino;
}

// From the process's own group up to what is mounted: a limit of any of them holds.
void read_quotas(const fs::path& root, CpuFacts& facts) {
  size_t count = 0;
  std::ifstream mounts(root / "proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const auto mount = parse_mount(line);
    if (!mount) continue;
    std::string group = own_group(root, mount->is_version_2).value_or("/");
    if (mount->root != "/" && group.starts_with(mount->root)) group.erase(0, mount->root.size());
    const fs::path top = root / mount->point.substr(1);
    const fs::path below = fs::path(group).relative_path();
    fs::path folder = below.empty() ? top : top / below;
    // A container may see its group under a name that only the host knows.
    if (group.find("..") != std::string::npos || !fs::is_directory(folder)) folder = top;
    while (count < facts.quotas.size()) {
      const double processors = quota_of(folder, mount->is_version_2);
      if (processors > 0) facts.quotas[count++] = {identity_of(folder), processors};
      if (folder == top || !folder.has_relative_path()) break;
      folder = folder.parent_path();
    }
  }
}

}  // namespace

CpuFacts own_cpu_facts(const fs::path& root) {
  CpuFacts facts;
  if (sched_getaffinity(0, sizeof facts.mask, reinterpret_cast<cpu_set_t*>(facts.mask.data())) < 0)
    for (size_t i = 0; i < std::min<size_t>(std::thread::hardware_concurrency(), CpuFacts::kMaxProcessors); ++i)
      facts.allow(i);
  read_quotas(root, facts);
  return facts;
}

int fair_threads(std::span<const CpuFacts> ranks, size_t own) {
  const auto may_use = [](const CpuFacts& facts, size_t i) { return (facts.mask[i / 64] >> i % 64 & 1) != 0; };
  double share = 0;
  for (size_t i = 0; i < CpuFacts::kMaxProcessors; ++i) {
    if (!may_use(ranks[own], i)) continue;
    share += 1.0 / static_cast<double>(std::count_if(ranks.begin(), ranks.end(),
                                                     [&](const CpuFacts& facts) { return may_use(facts, i); }));
  }
  for (const CpuFacts::Quota& quota : ranks[own].quotas) {
    if (quota.processors <= 0) continue;
    const auto is_under = [&](const CpuFacts& facts) {
      return std::any_of(facts.quotas.begin(), facts.quotas.end(),
                         [&](const CpuFacts::Quota& one) { return one.processors > 0 && one.group == quota.group; });
    };
    share =
        std::min(share, quota.processors / static_cast<double>(std::count_if(ranks.begin(), ranks.end(), is_under)));
  }
  constexpr double kRounding = 1e-9;  // three thirds are one
  return std::max(1, static_cast<int>(share + kRounding));
}

}  // namespace rehearse
