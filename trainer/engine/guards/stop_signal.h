// SIGTERM, SIGINT and SIGUSR1 set a flag that the training loop carries to all ranks.
#pragma once

#include <atomic>

namespace rehearse {

// Installs the handlers; async-signal-safe. SIGINT twice ends the process at once.
void install_stop_signals();
const std::atomic<bool>& stop_requested();

}  // namespace rehearse
