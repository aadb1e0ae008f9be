// The library of matrix products, the same on all ranks of a run.
#pragma once

#include <string>

#include "trainer/comm/communicator.h"

namespace rehearse {

// Collective. Deterministic: oneDNN's blocks where every rank has them, without a look at the clock, so that two starts
// never differ. Otherwise what is faster in a measurement of 20 ms, on the rank where it wins least. Returns a sentence
// for the log.
std::string choose_products(Communicator& communicator, bool is_deterministic);

}  // namespace rehearse
