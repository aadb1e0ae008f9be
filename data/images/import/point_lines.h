// A folder of pictures (PNG, PGM) with their points in JSON Lines.
#pragma once

#include "data/images/import/face_import.h"

namespace rehearse::images {

struct PointLinesOptions {
  int width = 96;  // of the records; pictures are scaled to it, their points with them
  int height = 96;
  std::string domain = "faces";          // of lines that name none
  std::vector<std::string> point_names;  // empty: all that the lines name
};

// Each line is {"image": path from the file's folder, "points": {name: [x, y] or null, …}, "domain": text}; points in
// pixels of the picture as it is stored; a name left out is missing like null. Lines and pictures that cannot be used
// are listed as file:line with a reason. DataError when the file itself cannot be read, or names no point at all.
FaceImport import_point_lines(const fs::path& lines, const PointLinesOptions& options);

}  // namespace rehearse::images
