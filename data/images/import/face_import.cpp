#include "data/images/import/face_import.h"

#include <nlohmann/json.hpp>

namespace rehearse::images {

void write_rejected_pictures(FileLayer& files, const fs::path& path, const std::vector<RejectedPicture>& rejected) {
  if (rejected.empty()) return;
  std::string lines;
  for (const RejectedPicture& one : rejected) {
    const nlohmann::json line = {{"source", one.source}, {"reason", one.reason}};
    lines += line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
  }
  replace_text(files, path, lines);
}

}  // namespace rehearse::images
