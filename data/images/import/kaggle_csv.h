// The Kaggle facial keypoints table (training.csv): 96 x 96 grey values in a column, 15 points, missing ones empty.
#pragma once

#include "data/images/import/face_import.h"

namespace rehearse::images {

struct KaggleOptions {
  int width = 96;
  int height = 96;
  std::string domain = "faces";  // of every row
};

// Reads the table (plain or gzip) line by line. Its header names <point>_x and <point>_y of each point and Image, in
// any order. Rows that cannot be used are listed as file:line with a reason. DataError when the header is not such a
// one or the file cannot be read to its end.
FaceImport import_kaggle_csv(const fs::path& table, const KaggleOptions& options);

}  // namespace rehearse::images
