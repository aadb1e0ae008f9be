// One HDF5 call at a time.
#pragma once

#include <mutex>

namespace rehearse {

// The HDF5 library is not thread-safe: whoever calls it holds this lock, from its first call on.
std::mutex& hdf5_lock();

}  // namespace rehearse
