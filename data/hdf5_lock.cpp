#include "data/hdf5_lock.h"

#include <hdf5.h>

namespace rehearse {

std::mutex& hdf5_lock() {
  static std::mutex mutex;
  // At exit HDF5 would write once more what a full disk refused, and crash over it. We close all files ourselves.
  static const herr_t kept_from_exit = H5dont_atexit();
  static_cast<void>(kept_from_exit);
  return mutex;
}

}  // namespace rehearse
