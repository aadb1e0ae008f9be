// Runs a program to its end and keeps what it said.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace rehearse {

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

// arguments[0] is found along PATH.
ProcessResult run_process(const std::vector<std::string>& arguments, const ProcessOptions& options = {});

// The rehearse binary of this build.
ProcessResult run_rehearse(std::vector<std::string> arguments, const ProcessOptions& options = {});
// The same in an MPI world of `ranks` on this machine, whatever its cores.
ProcessResult run_rehearse_ranks(int ranks, std::vector<std::string> arguments, ProcessOptions options = {});

}  // namespace rehearse
