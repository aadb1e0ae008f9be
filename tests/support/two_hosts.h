// Two hosts on one machine: network namespaces with a wire between them, nothing else, and names of their own.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace rehearse {

// Needs root and iproute2. What is left of test processes that are gone is taken away first; the destructor ends
// whatever still runs on the two hosts, and takes them away.
class TwoHosts {
 public:
  // Why there cannot be any; empty when there can.
  static std::string refusal();

  // `folder` is for the script that stands for ssh.
  explicit TwoHosts(const std::filesystem::path& folder);
  ~TwoHosts();
  TwoHosts(const TwoHosts&) = delete;
  TwoHosts& operator=(const TwoHosts&) = delete;

  static std::string address(int host);  // host: 1 or 2
  // What runs `line` on the first host.
  std::vector<std::string> on_first(const std::vector<std::string>& line) const;
  // Environment for mpirun there: the script that enters the second host, as long as the wire is whole.
  ProcessOptions options() const;
  void cut_wire();
  void mend_wire();

  // Processes on a host; with a name, only those called so.
  std::vector<pid_t> processes(int host, const std::string& name = "") const;

 private:
  std::string name(int host) const;
  bool is_reached_from(int host) const;  // the other host, over the wire
  void remove_namespaces() const;

  std::string agent_;
};

}  // namespace rehearse
