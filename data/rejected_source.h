// What an import or a pack leaves out, with the reason.
#pragma once

#include <string>
#include <vector>

namespace rehearse {

struct RejectedSource {
  std::string source;  // audio file, or "file:line" of a line that cannot be used
  std::string reason;
};

// JSON Lines {"source": …, "reason": …}; an empty list removes the file.
void write_rejected(const std::string& path, const std::vector<RejectedSource>& rejected);

}  // namespace rehearse
