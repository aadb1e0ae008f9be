#include "trainer/base/error.h"

namespace rehearse {

void raise_bug(const char* file, int line, const char* condition, const std::string& reason) {
  throw BugError(concat(file, ":", line, ": expected ", condition, " because ", reason,
                        "; this is a bug in rehearse, please report it with the run's log"));
}

}  // namespace rehearse
