// Points that a checkpoint finds in pictures.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace rehearse::keypoints {

struct PredictRequest {
  std::string checkpoint;
  int64_t step = -1;               // of a run folder's checkpoints; negative: the best or newest
  std::vector<std::string> files;  // *.faces.h5, or pictures (PNG, PGM)
  std::string png_folder;          // each picture enlarged with its points; "": none
  std::string device = "cpu";      // or "cuda"
};

// Prints a JSON line per picture on stdout. A file that cannot be read costs one line on stderr; the exit code is then
// that of bad data.
int predict(const PredictRequest& request);

}  // namespace rehearse::keypoints
