// The MPI world that all tests of this program share.
#pragma once

#include "trainer/comm/world.h"

namespace rehearse {

const World& world();
// Collective calls must come in the same order on every rank, so tests run in the same order everywhere.
Communicator& communicator();

}  // namespace rehearse
