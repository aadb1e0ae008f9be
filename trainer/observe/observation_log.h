// What a run drew and observed, step by step: observations.jsonl of the run folder, and its replay.
#pragma once

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "data/sampler/sampler.h"
#include "trainer/base/files.h"

namespace rehearse {

// One line a step: {"step": 7, "draws": [["7f3a…", 0.25, 0], …]} - stable utterance id in hexadecimal, error, and 1 for
// a file that could not be read, 2 for a draw with too few frames; in order of position.
class ObservationWriter {
 public:
  // Keeps the lines of steps before `first_step` (of a resumed run), drops the rest.
  ObservationWriter(const fs::path& path, uint64_t first_step);
  // ids: stable ids by utterance number. CommError when the disk refuses.
  void write(uint64_t step, const std::vector<Observation>& observations, const std::vector<uint64_t>& ids);

 private:
  fs::path path_;
  std::ofstream file_;
};

// Another run's observations take the place of one's own, so that a run on another world size makes the same draws.
class ObservationReplay {
 public:
  explicit ObservationReplay(const fs::path& path);  // DataError naming the line that is not one
  // Replaces what was observed in this step. DataError when the log has no such step, or when other utterances were
  // drawn in it.
  void replace(uint64_t step, std::vector<Observation>& observations, const std::vector<uint64_t>& ids) const;

 private:
  struct Record {
    uint64_t id = 0;
    double error = 0;
    bool is_bad_file = false;
    bool is_infeasible = false;
  };
  fs::path path_;
  std::map<uint64_t, std::vector<Record>> steps_;
};

}  // namespace rehearse
