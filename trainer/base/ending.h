// What to say and which exit code to leave with when an exception ends a command.
#pragma once

#include <exception>
#include <string>

namespace rehearse {

struct Ending {
  std::string message;  // one of ours; of a library's exception its first line at most
  int code = 1;         // ExitCode
};

// Memory, disk and devices fail without a bug of ours; what nobody expected is one.
Ending ending_of(const std::exception& failure);

}  // namespace rehearse
