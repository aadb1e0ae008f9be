#include "data/rejected_source.h"

#include <nlohmann/json.hpp>

#include "trainer/base/files.h"

namespace rehearse {

std::string reason_without_path(const std::string& path, const std::string& message) {
  return !path.empty() && message.starts_with(path + ": ") ? message.substr(path.size() + 2) : message;
}

void write_rejected(const std::string& path, const std::vector<RejectedSource>& rejected) {
  if (rejected.empty()) {
    std::error_code ignored;
    fs::remove(path, ignored);
    return;
  }
  std::string text;
  for (const auto& [source, reason] : rejected) {
    nlohmann::ordered_json line = {{"source", source}, {"reason", reason}};
    text += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
  }
  FileLayer files;
  replace_text(files, path, text);
}

}  // namespace rehearse
