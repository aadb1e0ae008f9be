#include "data/speech/features/features.h"

#include <cstdio>

#include "trainer/base/random.h"
#include "trainer/base/registry.h"

namespace rehearse {

std::string Features::hash() const {
  char digits[17];
  std::snprintf(digits, sizeof(digits), "%016llx", static_cast<unsigned long long>(hash_text(spec().dump())));
  return digits;
}

std::unique_ptr<Features> build_features(ConfigNode node, const Features::Context& context) {
  const std::string type = node.text("type", "log_mel");
  return Registry<Features>::instance().create(type, node, context);
}

}  // namespace rehearse
