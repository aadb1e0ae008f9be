#include "data/speech/augment/augmentation.h"

#include "trainer/base/registry.h"

namespace rehearse {

std::vector<std::unique_ptr<Augmentation>> build_augmentations(ConfigNode& data, const Augmentation::Context& context) {
  std::vector<std::unique_ptr<Augmentation>> augmentations;
  for (const ConfigNode& node : data.children("augment"))
    augmentations.push_back(Registry<Augmentation>::instance().create(node, context));
  return augmentations;
}

}  // namespace rehearse
