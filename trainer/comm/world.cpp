#include "trainer/comm/world.h"

#include <mpi.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "trainer/base/error.h"
#include "trainer/comm/cpu_share.h"
#include "trainer/comm/mpi_communicator.h"

namespace rehearse {
namespace {

bool is_launched_by_mpi() {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"})
    if (std::getenv(name)) return true;
  return false;
}

// Everything is done when it is called: the communicator of one rank.
class LoneCommunicator : public Communicator {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  std::future<void> all_reduce_sum(std::span<float>, const std::string&) override { return done(); }
  std::future<void> all_reduce_sum(std::span<double>, const std::string&) override { return done(); }
  std::future<void> all_reduce_sum(std::span<Bfloat16>, const std::string&) override { return done(); }
  std::future<void> reduce_slices(std::span<float>, std::vector<size_t>, const std::string&) override { return done(); }
  std::future<void> reduce_slices(std::span<Bfloat16>, std::vector<size_t>, const std::string&) override {
    return done();
  }
  std::future<std::vector<std::vector<std::byte>>> all_gather(std::vector<std::byte> bytes,
                                                              const std::string&) override {
    std::promise<std::vector<std::vector<std::byte>>> promise;
    std::vector<std::vector<std::byte>> all;
    all.push_back(std::move(bytes));
    promise.set_value(std::move(all));
    return promise.get_future();
  }
  std::future<void> all_gather_slices(std::span<float>, std::vector<size_t>, const std::string&) override {
    return done();
  }
  std::future<void> all_reduce_sum(DeviceSpan, const std::string&) override { return done(); }
  std::future<void> reduce_slices(DeviceSpan, std::vector<size_t>, const std::string&) override { return done(); }
  std::future<void> all_gather_slices(DeviceSpan, std::vector<size_t>, const std::string&) override { return done(); }
  void broadcast(std::span<std::byte>, int, const std::string&) override {}
  void barrier(const std::string&) override {}
  void set_step(uint64_t) override {}
  void set_saving(bool) override {}
  void announce_failure(const std::string&) override {}
  void finish() override {}
  double busy_seconds() const override { return 0; }
  Traffic traffic() const override { return {}; }

 private:
  static std::future<void> done() {
    std::promise<void> promise;
    promise.set_value();
    return promise.get_future();
  }
};

}  // namespace

World::World() {
  const CpuFacts own = own_cpu_facts();
  fair_threads_ = rehearse::fair_threads({&own, 1}, 0);
  if (!is_launched_by_mpi()) return;
  // Ranks share cores with their own threads: while MPI itself waits, in its start and end, it must give its core away.
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
  // MPI carries host memory only: it has no business with a device, and no device need be chosen before it starts.
  setenv("OMPI_MCA_opal_cuda_support", "0", 0);
  // Large values of a host go through memory of our own. OpenMPI would read the memory of other processes, which many
  // containers and sandboxes refuse; it then complains at every message.
  setenv("OMPI_MCA_btl_vader_single_copy_mechanism", "none", 0);
  // A rank must not outlive the daemon that started it. Had that died before this call, MPI_Init would not reach it; if
  // it died in between, the rank has another parent now.
  const pid_t daemon = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int provided = 0;
  if (MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided) != MPI_SUCCESS ||
      provided < MPI_THREAD_SERIALIZED)
    throw CommError("mpi: expected an MPI with MPI_THREAD_SERIALIZED; found level ", provided);
  if (getppid() != daemon)
    throw CommError("mpi: expected the daemon that started this rank; found it gone; start the run again");
  has_mpi_ = true;
  MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  MPI_Comm host = MPI_COMM_NULL;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &host);
  MPI_Comm_rank(host, &local_rank_);
  MPI_Comm_size(host, &local_size_);
  std::vector<CpuFacts> facts(static_cast<size_t>(local_size_));
  MPI_Allgather(&own, sizeof own, MPI_BYTE, facts.data(), sizeof own, MPI_BYTE, host);
  fair_threads_ = rehearse::fair_threads(facts, static_cast<size_t>(local_rank_));
  MPI_Comm_free(&host);
}

World::~World() {
  if (has_mpi_ && is_finished_) MPI_Finalize();
}

std::string World::library_version() const {
  char text[MPI_MAX_LIBRARY_VERSION_STRING] = {};
  int length = 0;
  MPI_Get_library_version(text, &length);
  std::string version(text, static_cast<size_t>(length));
  return version.substr(0, version.find(','));
}

void expect_time_to_miss_hosts(const World& world, const CommOptions& options) {
  const char* text = std::getenv("REHEARSE_HOST_TIMEOUT_S");
  if (!text || world.size() == world.local_size() || options.timeout_s > std::atof(text)) return;
  throw ConfigError("comm.timeout_s: expected more than the ", text, " s of launch/run.sh --host-timeout; found ",
                    options.timeout_s, "; raise it, or lower --host-timeout");
}

std::unique_ptr<Communicator> make_communicator(const World& world, const CommOptions& options) {
  if (world.size() == 1) return std::make_unique<LoneCommunicator>();
  return std::make_unique<MpiCommunicator>(world.rank(), world.size(), world.local_size() == world.size(), options);
}

}  // namespace rehearse
