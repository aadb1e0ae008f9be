// Threads of a rank under bindings, cpusets and quotas as launchers and containers make them.
#include "trainer/comm/cpu_share.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <fstream>
#include <vector>

#include "tests/data/text/text_support.h"

namespace rehearse {
namespace {

CpuFacts on(const std::vector<size_t>& processors) {
  CpuFacts facts;
  for (size_t processor : processors) facts.allow(processor);
  return facts;
}

CpuFacts on(size_t first, size_t last) {
  CpuFacts facts;
  for (size_t i = first; i <= last; ++i) facts.allow(i);
  return facts;
}

CpuFacts under(CpuFacts facts, std::vector<CpuFacts::Quota> quotas) {
  std::copy(quotas.begin(), quotas.end(), facts.quotas.begin());
  return facts;
}

std::vector<int> threads(const std::vector<CpuFacts>& ranks) {
  std::vector<int> all;
  for (size_t rank = 0; rank < ranks.size(); ++rank) all.push_back(fair_threads(ranks, rank));
  return all;
}

using Threads = std::vector<int>;

TEST(CpuShare, UnboundRanksDivideTheMachine) {
  EXPECT_EQ(threads({on(0, 15)}), Threads{16});
  EXPECT_EQ(threads({on(0, 15), on(0, 15)}), (Threads{8, 8}));
  EXPECT_EQ(threads({on(0, 4), on(0, 4)}), (Threads{2, 2}));
}

TEST(CpuShare, RanksOfOneCpusetDivideItAndNotTheMachine) {
  EXPECT_EQ(threads({on(0, 7), on(0, 7)}), (Threads{4, 4})) << "Slurm, 2 tasks of 4, unbound: a mask of 8 for both";
  EXPECT_EQ(threads(std::vector<CpuFacts>(4, on({3, 5, 9, 11}))), (Threads{1, 1, 1, 1})) << "docker --cpuset-cpus";
  EXPECT_EQ(threads({on({0}), on({0})}), (Threads{1, 1})) << "never none";
}

TEST(CpuShare, BoundRanksKeepTheirOwn) {
  EXPECT_EQ(threads({on(0, 3), on(4, 7)}), (Threads{4, 4}));
  EXPECT_EQ(threads({on(0, 3), on(0, 7)}), (Threads{2, 6})) << "half of what is shared";
}

TEST(CpuShare, ThreeSharesOfThreeProcessorsAreOneEach) {
  EXPECT_EQ(threads(std::vector<CpuFacts>(3, on(0, 2))), (Threads{1, 1, 1}));
  EXPECT_EQ(threads(std::vector<CpuFacts>(7, on(0, 13))), Threads(7, 2));
}

TEST(CpuShare, AProcessorBeyondTheThousandthCounts) {
  EXPECT_EQ(threads({on(1020, 1031)}), Threads{12});
}

TEST(CpuShare, AQuotaLimitsWhatAMaskAllows) {
  EXPECT_EQ(threads({under(on(0, 63), {{1, 4}})}), Threads{4});
  EXPECT_EQ(threads({under(on(0, 63), {{1, 2.5}})}), Threads{2});
  EXPECT_EQ(threads({under(on(0, 63), {{1, 0.5}})}), Threads{1});
  EXPECT_EQ(threads({under(on(0, 1), {{1, 8}})}), Threads{2});
}

TEST(CpuShare, AQuotaIsDividedByThoseUnderIt) {
  const auto shared = under(on(0, 63), {{1, 4}});
  EXPECT_EQ(threads({shared, shared}), (Threads{2, 2}));
  EXPECT_EQ(threads({shared, under(on(0, 63), {{2, 4}})}), (Threads{4, 4})) << "a container each";
  const CpuFacts first = under(on(0, 63), {{1, 4}, {9, 6}}), second = under(on(0, 63), {{2, 4}, {9, 6}});
  EXPECT_EQ(threads({first, second}), (Threads{3, 3})) << "one above both";
}

// A tree as the kernel shows it.
class CpuQuotas : public ::testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) {
    const auto full = folder_.path() / path;
    std::filesystem::create_directories(full.parent_path());
    std::ofstream(full) << text;
  }
  std::vector<double> quotas() {
    std::vector<double> found;
    for (const auto& quota : own_cpu_facts(folder_.path()).quotas)
      if (quota.processors > 0) found.push_back(quota.processors);
    return found;
  }
  TemporaryFolder folder_{"cpu_share"};
};

TEST_F(CpuQuotas, OfVersion2AreReadUpToTheTop) {
  write("proc/self/mountinfo", "30 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
  write("proc/self/cgroup", "0::/slurm/job 7\n");
  write("sys/fs/cgroup/slurm/job 7/cpu.max", "250000 100000\n");
  write("sys/fs/cgroup/slurm/cpu.max", "max 100000\n");
  write("sys/fs/cgroup/cpu.max", "600000 100000\n");
  EXPECT_EQ(quotas(), (std::vector<double>{2.5, 6}));
}

TEST_F(CpuQuotas, OfVersion1AreThoseOfTheCpuController) {
  write("proc/self/mountinfo",
        "33 31 0:31 / /sys/fs/cgroup/memory rw shared:1 - cgroup cgroup rw,memory\n"
        "32 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:2 - cgroup cgroup rw,cpu,cpuacct\n");
  write("proc/self/cgroup", "9:memory:/other\n4:cpu,cpuacct:/docker/abc\n0::/\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "400000\n");
  write("sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quotas(), (std::vector<double>{4}));
}

TEST_F(CpuQuotas, OfAContainerAreFoundWhereItsGroupIsMounted) {
  write("proc/self/mountinfo", "32 31 0:30 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n");
  write("proc/self/cgroup", "4:cpu:/docker/abc\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "150000\n");
  write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quotas(), (std::vector<double>{1.5}));
  write("proc/self/mountinfo", "30 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  write("proc/self/cgroup", "0::/../../pod/c\n");
  write("sys/fs/cgroup/cpu.max", "300000 100000\n");
  EXPECT_EQ(quotas(), (std::vector<double>{3})) << "outside of what it sees";
}

TEST_F(CpuQuotas, WithoutControlGroupsThereAreNone) {
  EXPECT_TRUE(quotas().empty());
}

TEST(CpuShare, TheOwnMaskIsTheKernels) {
  cpu_set_t mask;
  ASSERT_EQ(sched_getaffinity(0, sizeof mask, &mask), 0);
  CpuFacts facts = own_cpu_facts();
  facts.quotas = {};
  EXPECT_EQ(fair_threads(std::vector<CpuFacts>{facts}, 0), CPU_COUNT(&mask));
}

}  // namespace
}  // namespace rehearse
