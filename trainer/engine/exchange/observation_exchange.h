// Observations on their way between ranks.
#pragma once

#include <cstddef>
#include <vector>

#include "data/sampler/sampler.h"

namespace rehearse {

// Appends one in a form that ranks of one build exchange.
void pack_observation(const Observation& observation, std::vector<std::byte>& bytes);

// What all ranks packed, in order of position, whichever rank drew what and in which order it came to it.
std::vector<Observation> merge_observations(const std::vector<std::vector<std::byte>>& of_ranks);

}  // namespace rehearse
