// One command in the MPI world of this process, with the rules by which a world ends.
#pragma once

#include <functional>

#include "trainer/comm/world.h"

namespace rehearse {

struct Session {
  // What every rank does, with the exit code of its process.
  std::function<int(World&, Communicator&)> body;
  // Sets options (not on_failure, which is set already) before ranks are connected; talks to no other rank. An Error is
  // raised once the others can hear of it, and instead of `body`.
  std::function<void(const World&, CommOptions&)> prepare = {};
  // Another communicator than MPI's.
  std::function<std::unique_ptr<Communicator>(const World&, const CommOptions&)> connect = make_communicator;
};

// Starts the world and its communicator and returns the body's exit code. An exception on one rank is told to the
// others, printed once where every rank finds the same mistake, and ends the process with its code.
int run_in_world(const Session& session);

}  // namespace rehearse
