// Small synthetic corpora, sampler construction from YAML, and the χ² test for sampler tests.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/sampler/sampler.h"
#include "trainer/base/config/config.h"
#include "trainer/base/random.h"
#include "trainer/base/registry.h"

namespace rehearse {

inline Sampler::Context synthetic_context(const std::vector<uint32_t>& sizes, uint64_t seed = 7) {
  Sampler::Context context;
  context.seed = seed;
  const RandomKey key = RandomKey(seed).with("durations");
  for (uint32_t d = 0; d < sizes.size(); ++d) {
    context.domains.push_back("domain_" + std::to_string(d));
    for (uint32_t i = 0; i < sizes[d]; ++i) {
      context.domain.push_back(d);
      context.cost.push_back(static_cast<float>(0.5 + 8 * key.uniform(context.domain.size())));
    }
  }
  return context;
}

inline std::unique_ptr<Sampler> make_sampler(const std::string& yaml, const Sampler::Context& context) {
  Config config = Config::parse(yaml, "test.yaml");
  return Registry<Sampler>::instance().create(config.root(), context);
}

inline bool operator==(const Draw& a, const Draw& b) {
  return a.utterance == b.utterance && a.visit == b.visit && a.bin == b.bin && a.is_probe == b.is_probe &&
         a.is_learned == b.is_learned;
}

// (χ² - degrees) / sqrt(2 degrees): about standard normal; beyond 4.5 is not chance. Cells that expect less than 5 are
// pooled.
inline double chi_square_score(const std::vector<double>& found, const std::vector<double>& expected) {
  double chi = 0, pooled_found = 0, pooled_expected = 0;
  int cells = 0;
  const auto add = [&](double f, double e) {
    chi += (f - e) * (f - e) / e;
    ++cells;
  };
  for (size_t i = 0; i < found.size(); ++i) {
    if (expected[i] >= 5) {
      add(found[i], expected[i]);
    } else {
      pooled_found += found[i];
      pooled_expected += expected[i];
    }
  }
  if (pooled_expected >= 5) add(pooled_found, pooled_expected);
  return cells < 2 ? 0 : (chi - (cells - 1)) / std::sqrt(2.0 * (cells - 1));
}

}  // namespace rehearse
