// Reading JSON of a checkpoint: whatever is wrong with it is a DataError.
#pragma once

#include "trainer/base/error.h"
#include "trainer/base/state.h"

namespace rehearse {

// Runs `read`; a value that is absent or of another kind becomes a DataError naming `part`.
template <class Read>
void read_saved(const char* part, Read&& read) {
  try {
    read();
  } catch (const nlohmann::json::exception&) {
    throw DataError("checkpoint: ", part, ": expected the values of this version; found a key that is missing or of",
                    " another type; it is damaged or of another version");
  }
}

}  // namespace rehearse
