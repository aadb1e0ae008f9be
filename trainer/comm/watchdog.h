// Who is where: ranks tell each other what they are doing over UDP, so that a stuck collective can name who is absent.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace rehearse {

// One thread per process sends this rank's status and judges the others' every 100 ms; to 16 ranks at a time, one after
// another, so that a large world is not flooded. All methods may be called from any thread. The socket listens on
// loopback when all ranks share a host and its network.
class Watchdog {
 public:
  struct Options {
    int rank = 0;
    int size = 1;
    double timeout_s = 300;   // comm.timeout_s: longest collective
    double term_grace_s = 3;  // comm.term_grace_s: the same, and from the stop signal on, once one has come
    const std::atomic<bool>* stop_requested = nullptr;
    // Called once, from the watchdog's thread, with the whole message; must not return.
    std::function<void(const std::string&)> on_failure;
  };
  // Opens the socket; address() then has to reach every other rank, and start() theirs.
  Watchdog(const Options& options, bool is_one_host);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  std::string address() const;  // opaque text: host, process, port, where that is, addresses
  // Names this machine's boot and the network in it; empty when that cannot be told.
  static std::string network();
  void start(const std::vector<std::string>& addresses, uint64_t job_key);

  // A collective begins and ends on this rank.
  void enter(const std::string& what);
  void leave();
  void set_step(uint64_t step);
  // See Communicator.
  void set_saving(bool is_saving);
  // This rank ends because of an error of its own: the others stop at once and quote `reason`.
  void announce_failure(const std::string& reason);
  // This rank ends as planned; from now on nobody counts as absent.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rehearse
