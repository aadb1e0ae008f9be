// Who is where: ranks tell each other what they are doing over UDP, so that a stuck collective can name who is absent.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace rehearse {

// One thread per process sends this rank's status every 100 ms and judges the others'. All methods may be called from
// any thread. The socket listens on loopback when all ranks share a host.
class Watchdog {
 public:
  struct Options {
    int rank = 0;
    int size = 1;
    double timeout_s = 300;   // comm.timeout_s: longest collective
    double term_grace_s = 3;  // comm.term_grace_s: longest collective once a stop signal has come
    const std::atomic<bool>* stop_requested = nullptr;
    // Called once, from the watchdog's thread, with the whole message; must not return.
    std::function<void(const std::string&)> on_failure;
  };
  // Opens the socket; address() then has to reach every other rank, and start() theirs.
  Watchdog(const Options& options, bool is_one_host);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  std::string address() const;  // opaque text: host, process, addresses, port
  void start(const std::vector<std::string>& addresses, uint64_t job_key);

  // A collective begins and ends on this rank.
  void enter(const std::string& what);
  void leave();
  void set_step(uint64_t step);
  // This rank ends because of an error of its own: the others stop at once and quote `reason`.
  void announce_failure(const std::string& reason);
  // This rank ends as planned; from now on nobody counts as absent.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rehearse
