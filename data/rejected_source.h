// What an import or a pack leaves out, with the reason.
#pragma once

#include <string>
#include <vector>

namespace rehearse {

struct RejectedSource {
  std::string source;  // audio file, or "file:line" of a line that cannot be used
  std::string reason;
};

// A message without the path it begins with, for a place where the path already stands.
std::string reason_without_path(const std::string& path, const std::string& message);

// JSON Lines {"source": …, "reason": …}; an empty list removes the file.
void write_rejected(const std::string& path, const std::vector<RejectedSource>& rejected);

}  // namespace rehearse
