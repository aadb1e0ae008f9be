// Waveform augmentation: a pure function of the samples and a key, so that resume and reordering cannot change it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "trainer/base/config/config.h"
#include "trainer/base/random.h"

namespace rehearse {

// Plug-in ("gain", "speed", "noise"). apply() is called from several threads at once.
class Augmentation {
 public:
  struct Context {
    int sample_rate_hz = 16000;
  };
  virtual ~Augmentation() = default;
  // May change the number of samples by up to 15 % (batches are planned with the nominal duration) and never to none.
  // key = RandomKey(seed).with("augment").with(utterance id).with(visit).with(index in the list)
  virtual void apply(std::vector<float>& samples, const RandomKey& key) const = 0;
};

// Builds data.augment (a list); an absent list is empty.
std::vector<std::unique_ptr<Augmentation>> build_augmentations(ConfigNode& data, const Augmentation::Context& context);

}  // namespace rehearse
