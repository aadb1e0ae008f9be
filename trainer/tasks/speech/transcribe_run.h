// What a checkpoint hears in audio files of any length.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/tasks/speech/transcript.h"

namespace rehearse {

struct TranscribeRequest {
  std::string checkpoint;
  int64_t step = -1;  // of a run folder's checkpoints; negative: the best or newest
  std::vector<std::string> files;
  bool as_json = false;
  std::string logits_path;     // safetensors with the raw logits [T', V] of each file, by file name; "": none
  WindowOptions windows;       // longer files are cut
  std::string device = "cpu";  // or "cuda"
};

// Prints a line per file on stdout, and the speed on stderr. A file that cannot be read costs one line on stderr; the
// exit code is then that of bad data.
int transcribe(const TranscribeRequest& request);

}  // namespace rehearse
