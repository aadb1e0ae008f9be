// What a task draws of the best and the worst answers of a validation: files in RUN/pictures, for the report.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/base/files.h"

namespace rehearse {

struct ShownPicture {
  std::string name;  // of the example
  std::string domain;
  double error = 0;  // in [0, 1]
  bool is_best = false;
  std::string png;  // the file's bytes
};

struct ShownPictures {
  uint64_t step = 0;
  std::vector<ShownPicture> pictures;  // the worst first, from bad to less bad; then the best
};

// PNG files and pictures.json, in place of those of the validation before. CommError when the disk refuses.
void write_pictures(FileLayer& files, const fs::path& run_folder, const ShownPictures& shown);
// Empty where the run has none. DataError where they cannot be read.
ShownPictures read_pictures(const fs::path& run_folder);

}  // namespace rehearse
