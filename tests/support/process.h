// Runs programs and keeps what they said.
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rehearse {

// The program under test: beside the test's own, as in a bundle, or where it was built.
std::string rehearse_binary();

struct ProcessOptions {
  std::map<std::string, std::string> environment;  // added to that of the test
  std::string folder;                              // working directory; empty: that of the test
  double timeout_s = 120;                          // then the program and its children are killed
};

struct ProcessResult {
  int exit_code = -1;  // -1 when a signal or the timeout ended it
  int signal = 0;
  std::string out;
  std::string err;
};

// A program that runs beside the test, in a process group of its own; killed with its children when this object goes.
class RunningProcess {
 public:
  // arguments[0] is found along PATH.
  explicit RunningProcess(const std::vector<std::string>& arguments, const ProcessOptions& options = {});
  ~RunningProcess();
  RunningProcess(const RunningProcess&) = delete;
  RunningProcess& operator=(const RunningProcess&) = delete;

  pid_t id() const;
  bool is_over();
  std::string err() const;               // so far
  ProcessResult wait(double timeout_s);  // until its end; then it is killed

 private:
  void end_now();
  struct State;
  std::unique_ptr<State> state_;
};

// Children, their children and so on.
std::vector<pid_t> descendants_of(pid_t ancestor);
// The process below `ancestor` that mpirun started as this rank, once it is there.
std::optional<pid_t> process_of_rank(pid_t ancestor, int rank);

// arguments[0] is found along PATH.
ProcessResult run_process(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

// The rehearse binary of this build.
ProcessResult run_rehearse(std::vector<std::string> arguments, const ProcessOptions& options = {});
// The line that starts it in an MPI world of `ranks` on this machine, whatever its cores.
std::vector<std::string> rehearse_ranks_line(int ranks, const std::vector<std::string>& arguments);
// Runs that line.
ProcessResult run_rehearse_ranks(int ranks, std::vector<std::string> arguments, ProcessOptions options = {});

}  // namespace rehearse
