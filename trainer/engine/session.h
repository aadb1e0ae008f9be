// One command in the MPI world of this process, with the rules by which a world ends.
#pragma once

#include <functional>

#include "trainer/comm/world.h"

namespace rehearse {

// Starts the world and its communicator, runs `body` on every rank and returns its exit code. An exception on one rank
// is told to the others, printed once where every rank finds the same mistake, and ends the process with its code.
// options.on_failure is set here; `connect` may choose another communicator than MPI's.
using Connect = std::function<std::unique_ptr<Communicator>(const World&, const CommOptions&)>;
int run_in_world(CommOptions options, const std::function<int(World&, Communicator&)>& body,
                 const Connect& connect = make_communicator);

}  // namespace rehearse
