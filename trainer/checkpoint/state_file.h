// The arrays of a State as one HDF5 file, readable with h5py: one dataset per array, names with "/" are groups.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "trainer/base/state.h"

namespace rehearse {

std::vector<std::byte> to_hdf5(const std::map<std::string, StateArray>& arrays);
// `name` is for messages. Throws DataError.
std::map<std::string, StateArray> from_hdf5(const std::vector<std::byte>& image, const std::string& name);

}  // namespace rehearse
