#include "trainer/engine/guards/stop_signal.h"

#include <unistd.h>

#include <csignal>

#include "trainer/engine/guards/last_words.h"

namespace rehearse {
namespace {

// A signal handler has no arguments to be passed in: this is the one process-wide flag.
std::atomic<bool> stop_flag = false;
static_assert(std::atomic<bool>::is_always_lock_free, "signal handlers may only touch lock-free atomics");

void on_signal(int signal) {
  if (signal == SIGINT && stop_flag.load()) {
    say_ended_by(signal);
    _exit(128 + SIGINT);
  }
  stop_flag.store(true);
}

}  // namespace

void install_stop_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  for (int signal : {SIGTERM, SIGINT, SIGUSR1}) sigaction(signal, &action, nullptr);
}

const std::atomic<bool>& stop_requested() {
  return stop_flag;
}

}  // namespace rehearse
