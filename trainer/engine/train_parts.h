// What a run is made of, built from its configuration; shared by train, check and doctor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "data/sampler/batch_planner.h"
#include "data/speech/audio/audio_reader.h"
#include "data/speech/augment/augmentation.h"
#include "data/speech/corpus.h"
#include "data/speech/speech_batch.h"
#include "trainer/engine/optimizer.h"
#include "trainer/engine/recognizer.h"
#include "trainer/engine/run_options.h"
#include "trainer/engine/schedule.h"

namespace rehearse {

// Reads every key of the configuration; the last thing it does is to refuse unknown ones. `config` outlives the parts.
struct RunParts {
  // Where the parts live; the default is a world of one on the CPU.
  struct Place {
    AllReduceSum all_reduce_sum;
    at::Device device = at::kCPU;
    int rank = 0, size = 1;
  };
  RunParts(Config& config, const std::string& config_path, const Place& place);

  RunOptions options;
  AudioReaders readers;
  std::vector<std::unique_ptr<Augmentation>> augmentations;
  std::unique_ptr<Recognizer> recognizer;
  std::unique_ptr<Corpus> corpus;
  std::unique_ptr<Corpus> validation;  // null when there is none
  Dataset dataset;                     // of the corpus
  std::unique_ptr<SpeechLoading> loading;
  std::unique_ptr<Sampler> sampler;
  std::unique_ptr<BatchPlanner> planner;
  std::unique_ptr<Optimizer> optimizer;
  std::unique_ptr<Schedule> schedule;
};

// N: draws of a run with this budget; 0 when only wall time limits it.
uint64_t planned_draws(const RunOptions& options, const Dataset& dataset);

}  // namespace rehearse
