// What an importer hands over: the records, and whatever was left out, each with its reason.
#pragma once

#include <string>
#include <vector>

#include "data/images/face_records.h"
#include "trainer/base/files.h"

namespace rehearse::images {

struct RejectedPicture {
  std::string source;  // "training.csv:17"
  std::string reason;
};

struct FaceImport {
  FaceRecords records;
  std::vector<RejectedPicture> rejected;  // in the order of lines; how many are too many is for the caller to judge
  std::vector<std::string> ignored;       // columns of a CSV that are neither points nor pictures
};

// JSON Lines {"source": text, "reason": text}, as other imports leave behind (data/FORMATS.md); no file without any.
void write_rejected_pictures(FileLayer& files, const fs::path& path, const std::vector<RejectedPicture>& rejected);

}  // namespace rehearse::images
