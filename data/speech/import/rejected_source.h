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

// "28 of 76 (36.8 %) left out"
std::string left_out_text(size_t num_rejected, size_t num_used);

// For the end of a command that has written what could be used: DataError when more than max_share was left out.
void expect_few_rejected(const std::string& written, const std::vector<RejectedSource>& rejected, size_t num_used,
                         double max_share);

}  // namespace rehearse
